# METADATA
# title: "GPU beside an attester that cannot protect it"
# description: >-
#   QNSP calls SGX, SEV-SNP and Nitro "GPU enclaves"; none protects a GPU alone. SGX and Nitro enclaves
#   have no GPU at all; beside SEV-SNP and TDX the GPU needs its own confidential mode.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     {gpus} x {gpuModel} cannot be attached to {attester} on {platformType}.
#   remediation: >-
#     Take SEV-SNP or TDX with a GPU in confidential mode on a platform that has both, or no GPU.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "NIST 800-53 CM-6"
#   source: "docs/coverage.md, contradiction 9"
package qnsp.rules.platform["gpu-outside-confidential-vm"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.number(member.gpus) == 0
}

pass contains index if {
	some index, member in input.enclaves
	lib.number(member.gpus) > 0
	lib.text(member.attester) in lib.texts(member.gpuAttesters)
}

fail contains lib.refusal(index, ["spec", "gpus"], {"gpus": member.gpus, "gpuModel": lib.text(member.gpuModel), "attester": member.attester, "platformType": lib.text(member.platformType)}) if {
	some index, member in input.enclaves
	lib.number(member.gpus) > 0
	lib.text(member.attester)
	lib.texts(member.gpuAttesters)
	not member.attester in member.gpuAttesters
}
