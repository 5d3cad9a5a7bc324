# METADATA
# title: "Values learnt from evidence in production"
# description: >-
#   Values taken from the first evidence that came in prove only that nothing changed since; if the
#   first guest was the attacker's, they are the attacker's values.
# custom:
#   severity: critical
#   population: referenceValues
#   message: >-
#     These reference values were learnt from evidence.
#   remediation: >-
#     Compute the values from the image with the signed tool, and have a second builder confirm them.
#   controls:
#     - "NIST 800-53 SI-7(1)"
#     - "NIST 800-53 SR-11"
package qnsp.rules.attestation["trust-on-first-use"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.referenceValues
	member.production == false
}

pass contains index if {
	some index, member in input.referenceValues
	member.production == true
	member.learnt == false
}

fail contains lib.refusal(index, ["spec", "origin"], {}) if {
	some index, member in input.referenceValues
	member.production == true
	member.learnt == true
}
