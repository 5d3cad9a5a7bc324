# METADATA
# title: "Waiver of a rule that does not exist"
# description: >-
#   A misspelt rule waives nothing, and its author believes that it does.
# custom:
#   severity: medium
#   population: waivers
#   message: >-
#     {rule} is no rule of this run.
#   remediation: >-
#     Correct the name: `qnsp-policy policy list`.
#   controls:
#     - "ISO 27001 A.5.36"
package qnsp.rules.waivers["unknown-rule"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.waivers
	member.ruleKnown == true
}

fail contains lib.refusal(index, ["spec", "rule"], {"rule": lib.text(member.rule)}) if {
	some index, member in input.waivers
	member.ruleKnown == false
}
