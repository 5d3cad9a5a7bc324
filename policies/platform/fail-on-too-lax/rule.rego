# METADATA
# title: "High findings do not fail a production plan"
# description: >-
#   With `failOn: critical` a plan with an expired grant, an unsigned model and a debug guest still
#   passes.
# custom:
#   severity: medium
#   population: projects
#   message: >-
#     Only {failOn} findings fail a plan.
#   remediation: >-
#     Set `failOn: high` or lower.
#   controls:
#     - "ISO 27001 A.5.36"
#     - "NIST 800-53 CM-3"
package qnsp.rules.platform["fail-on-too-lax"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.projects
	member.production == false
}

pass contains index if {
	some index, member in input.projects
	member.production == true
	lib.text(member.failOn) != "critical"
}

fail contains lib.refusal(index, ["spec", "failOn"], {"failOn": member.failOn}) if {
	some index, member in input.projects
	member.production == true
	lib.text(member.failOn) == "critical"
}
