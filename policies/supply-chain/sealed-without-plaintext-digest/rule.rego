# METADATA
# title: "Sealed artefact without the digest of what is inside"
# description: >-
#   The digest of the sealed file says that it was not exchanged; only the digest of the plaintext says
#   which model answers, in every receipt.
# custom:
#   severity: medium
#   population: artefacts
#   message: >-
#     This {type} is sealed, and nothing says the digest of what is inside.
#   remediation: >-
#     Set `plaintextDigest`; `artefact seal` prints it.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "EU AI Act Art. 15(5)"
#   source: "HZ-4"
package qnsp.rules["supply-chain"]["sealed-without-plaintext-digest"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.artefacts
	member.encrypted == false
}

pass contains index if {
	some index, member in input.artefacts
	member.encrypted == true
	member.plaintextDigest == true
}

fail contains lib.refusal(index, ["spec", "plaintextDigest"], {"type": lib.text(member.type)}) if {
	some index, member in input.artefacts
	member.encrypted == true
	member.plaintextDigest == false
}
