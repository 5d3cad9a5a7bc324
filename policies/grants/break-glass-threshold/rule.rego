# METADATA
# title: "Break-glass that one person can use, or nobody"
# description: >-
#   A release in an emergency needs at least two people who act together, and as many as there are.
# custom:
#   severity: high
#   population: breakGlasses
#   message: >-
#     {threshold} of {holders} people must act.
#   remediation: >-
#     Set `threshold` between 2 and the number of people in `who`.
#   controls:
#     - "NIST 800-53 AC-3(2)"
#     - "NIST 800-53 AC-5"
#   source: "docs/coverage.md, contradiction 11"
package qnsp.rules.grants["break-glass-threshold"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.breakGlasses
	lib.number(member.threshold) >= 2
	member.threshold <= lib.number(member.holders)
}

fail contains lib.refusal(index, ["spec", "threshold"], {"threshold": member.threshold, "holders": member.holders}) if {
	some index, member in input.breakGlasses
	lib.number(member.threshold) < 2
	lib.number(member.holders)
}

fail contains lib.refusal(index, ["spec", "threshold"], {"threshold": member.threshold, "holders": member.holders}) if {
	some index, member in input.breakGlasses
	lib.number(member.threshold) >= 2
	member.threshold > lib.number(member.holders)
}
