# METADATA
# title: "Weakening of trust that nobody from security approves"
# description: >-
#   A change that lets more evidence through is looked at by somebody whose role is to say no.
# custom:
#   severity: high
#   population: projects
#   message: >-
#     A weakening needs a {weakenRole} approval.
#   remediation: >-
#     Set `approvals.weaken.role: security`.
#   controls:
#     - "NIST 800-53 AC-5"
#     - "SOC 2 CC8.1"
package qnsp.rules.trust["weakening-without-security"]

import data.qnsp.lib

role_text("") := "nobody's"

role_text(role) := role if role != ""

pass contains index if {
	some index, member in input.projects
	lib.text(member.weakenRole) == "security"
}

fail contains lib.refusal(index, ["spec", "approvals", "weaken"], {"weakenRole": role_text(member.weakenRole)}) if {
	some index, member in input.projects
	lib.text(member.weakenRole) != "security"
}
