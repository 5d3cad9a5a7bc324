# METADATA
# title: "Grace after a TCB recovery lasts too long"
# description: >-
#   A dated grace lets known-flawed firmware in while hosts are updated. After 90 days it is no longer a
#   grace.
# custom:
#   severity: medium
#   population: graces
#   message: >-
#     This grace ends more than 90 days from now, or has ended already.
#   remediation: >-
#     Set `until` within 90 days, or remove the grace.
#   controls:
#     - "NIST 800-53 SI-2"
#     - "ISO 27001 A.8.8"
package qnsp.rules.attestation["grace-open-too-long"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.graces
	lib.number(member.until) >= lib.number(input.now)
	member.until <= input.now + ((90 * 24) * 3600)
}

fail contains lib.refusal(index, ["until"], {}) if {
	some index, member in input.graces
	lib.number(member.until) < lib.number(input.now)
}

fail contains lib.refusal(index, ["until"], {}) if {
	some index, member in input.graces
	lib.number(member.until) > lib.number(input.now) + ((90 * 24) * 3600)
}
