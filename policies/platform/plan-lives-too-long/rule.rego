# METADATA
# title: "Plans that live longer than a week"
# description: >-
#   A plan is judged by the state it was made against; the older it is the more has changed, and an
#   approval given last month is used today.
# custom:
#   severity: low
#   population: projects
#   message: >-
#     A plan lives {planLifetime} s.
#   remediation: >-
#     Set `planLifetime` to 7d or less.
#   controls:
#     - "NIST 800-53 CM-3"
#     - "SOC 2 CC8.1"
package qnsp.rules.platform["plan-lives-too-long"]

import data.qnsp.lib

week := (7 * 24) * 3600

pass contains index if {
	some index, member in input.projects
	lib.number(member.planLifetime) <= week
}

fail contains lib.refusal(index, ["spec", "planLifetime"], {"planLifetime": member.planLifetime}) if {
	some index, member in input.projects
	lib.number(member.planLifetime) > week
}
