# METADATA
# title: "Enclave that runs something else than an image"
# description: >-
#   A model or a dataset cannot be booted; what boots must be an artefact of type image whose digest is
#   pinned.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     This enclave's image is an artefact of type {imageType}.
#   remediation: >-
#     Name an artefact of type image.
#   controls:
#     - "NIST 800-53 CM-14"
#     - "SOC 2 CC6.8"
package qnsp.rules["supply-chain"]["enclave-runs-no-image"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.text(member.imageType) == "image"
}

fail contains lib.refusal(index, ["spec", "image"], {"imageType": member.imageType}) if {
	some index, member in input.enclaves
	lib.text(member.imageType) != "image"
}
