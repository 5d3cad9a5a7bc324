# METADATA
# title: "Reference values computed from another image"
# description: >-
#   The values say which image they were computed from. If the enclave boots another one, no guest will
#   ever match, or the values are of something that nobody runs.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     The reference values of this enclave were computed from another image or another digest than the one
#     it boots.
#   remediation: >-
#     Compute the values again from the artefact that `image` names.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "NIST 800-53 SR-4"
package qnsp.rules["supply-chain"]["image-not-measured"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	member.imageKnown == false
}

pass contains index if {
	some index, member in input.enclaves
	member.imageKnown == true
	member.imageDigestMatches == true
}

fail contains lib.refusal(index, ["spec", "image"], {}) if {
	some index, member in input.enclaves
	member.imageKnown == true
	member.imageDigestMatches == false
}
