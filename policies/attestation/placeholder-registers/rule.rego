# METADATA
# title: "Registers of no image"
# description: >-
#   Placeholders stand where the registers of a built image belong: nothing is ever released on them, and
#   whoever reads the plan sees a measurement that measures nothing. Registers of zeros are what an enclave
#   in debug mode shows.
# custom:
#   severity: medium
#   population: alternatives
#   message: >-
#     {blank} are of no image.
#   remediation: >-
#     Build the image and take its registers: `qnsp-policy image build RECIPE --out IMAGE --reference-values FILE`.
#   controls:
#     - "NIST 800-53 SI-7"
package qnsp.rules.attestation["placeholder-registers"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.alternatives
	member.blank == []
}

fail contains lib.refusal(index, ["measurements"], {"blank": blank}) if {
	some index, member in input.alternatives
	blank := lib.texts(member.blank)
	count(blank) > 0
}
