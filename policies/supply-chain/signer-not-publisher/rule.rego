# METADATA
# title: "Artefact signed by somebody else than its publisher"
# description: >-
#   The document names a publisher; the signature must be of that publisher, who must hold the publisher
#   role.
# custom:
#   severity: high
#   population: artefacts
#   message: >-
#     This {type} names {publisher} as publisher, but is signed by {signers}.
#   remediation: >-
#     Have {publisher} sign it, and see that the TrustRoot gives {publisher} the publisher role.
#   controls:
#     - "NIST 800-53 SI-7(1)"
#     - "NIST 800-53 SR-11"
#     - "SOC 2 CC6.8"
package qnsp.rules["supply-chain"]["signer-not-publisher"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.artefacts
	count(lib.texts(member.signers)) == 0
}

pass contains index if {
	some index, member in input.artefacts
	count(lib.texts(member.signers)) > 0
	lib.text(member.publisher) in lib.texts(member.publisherSigners)
}

fail contains lib.refusal(index, ["spec", "publisher"], {"type": lib.text(member.type), "publisher": member.publisher, "signers": member.signers}) if {
	some index, member in input.artefacts
	count(lib.texts(member.signers)) > 0
	lib.text(member.publisher)
	lib.texts(member.publisherSigners)
	not member.publisher in member.publisherSigners
}
