# METADATA
# title: "Break-glass whose preparation has ended"
# description: >-
#   It can no longer be used; whoever relies on it in an emergency finds that out then.
# custom:
#   severity: medium
#   population: breakGlasses
#   message: >-
#     This break-glass has expired.
#   remediation: >-
#     Prepare and sign a new one, or remove it.
#   controls:
#     - "NIST 800-53 CP-2"
#     - "NIST 800-53 IR-4"
package qnsp.rules.grants["break-glass-expired"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.breakGlasses
	lib.number(member.expires) >= lib.number(input.now)
}

fail contains lib.refusal(index, ["spec", "expires"], {}) if {
	some index, member in input.breakGlasses
	lib.number(member.expires) < lib.number(input.now)
}
