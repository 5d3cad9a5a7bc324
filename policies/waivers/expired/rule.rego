# METADATA
# title: "Waiver that has expired"
# description: >-
#   Its finding is back. The date is inclusive: the waiver holds until the last second of that day in
#   UTC.
# custom:
#   severity: medium
#   population: waivers
#   message: >-
#     This waiver has expired.
#   remediation: >-
#     Mend what it is about, or have a new waiver signed.
#   controls:
#     - "ISO 27001 A.5.36"
#     - "NIST 800-53 CA-5"
package qnsp.rules.waivers.expired

import data.qnsp.lib

pass contains index if {
	some index, member in input.waivers
	lib.number(member.expires) >= lib.number(input.now)
}

fail contains lib.refusal(index, ["spec", "expires"], {}) if {
	some index, member in input.waivers
	lib.number(member.expires) < lib.number(input.now)
}
