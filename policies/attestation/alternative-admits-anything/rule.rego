# METADATA
# title: "Alternative that names no code"
# description: >-
#   An alternative is one complete tuple. One that lacks the register with the guest's launch
#   measurement admits any guest on such hardware.
# custom:
#   severity: critical
#   population: alternatives
#   message: >-
#     This alternative of {attester} names none of {identifying}, so any code is good enough.
#   remediation: >-
#     Add the measurement of {identifying}.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "NIST 800-53 AC-3"
package qnsp.rules.attestation["alternative-admits-anything"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.alternatives
	lib.missing(member.identifying, member.measurements) == []
}

fail contains lib.refusal(index, ["measurements"], {"attester": lib.text(member.attester), "identifying": gap}) if {
	some index, member in input.alternatives
	gap := lib.missing(member.identifying, member.measurements)
	count(gap) > 0
}
