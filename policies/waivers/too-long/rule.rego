# METADATA
# title: "Waiver beyond the project's horizon"
# description: >-
#   A waiver without a near end is a change of the rules that nobody decided.
# custom:
#   severity: medium
#   population: waivers
#   message: >-
#     This waiver ends beyond the horizon of {horizon} s that the project sets.
#   remediation: >-
#     Let it end sooner; it can be renewed by somebody who looks again.
#   controls:
#     - "ISO 27001 A.5.36"
#     - "NIST 800-53 CA-5"
package qnsp.rules.waivers["too-long"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.waivers
	lib.number(member.expires) <= lib.number(input.now) + lib.number(member.horizon)
}

fail contains lib.refusal(index, ["spec", "expires"], {"horizon": member.horizon}) if {
	some index, member in input.waivers
	lib.number(member.expires) > lib.number(input.now) + lib.number(member.horizon)
}
