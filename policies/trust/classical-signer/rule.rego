# METADATA
# title: "Signer without a post-quantum key"
# description: >-
#   What it signs today can be forged later; ledgers and plans are kept for years.
# custom:
#   severity: low
#   population: signers
#   message: >-
#     The {type} signer of {identity} has no post-quantum key.
#   remediation: >-
#     Add an ML-DSA key that signs beside it.
#   controls:
#     - "NIST 800-53 SC-13"
#     - "ISO 27001 A.8.24"
package qnsp.rules.trust["classical-signer"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.signers
	member.postQuantum == true
}

fail contains lib.refusal(index, [], {"type": lib.text(member.type), "identity": lib.text(member.identity)}) if {
	some index, member in input.signers
	member.postQuantum == false
}
