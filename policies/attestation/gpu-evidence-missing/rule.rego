# METADATA
# title: "GPUs whose evidence nobody asks for"
# description: >-
#   An artefact stays encrypted until CPU and GPU evidence pass in one verdict, each GPU by a device of
#   its own. Seven of eight is a refusal, so the reference values must name eight.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     This enclave has {gpus} GPUs, but an alternative of its reference values asks for the evidence of
#     {devices}.
#   remediation: >-
#     Name one entry in `devices` for each GPU.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "NIST 800-53 IA-3"
#   source: "NV-3, DM-6"
package qnsp.rules.attestation["gpu-evidence-missing"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.number(member.gpus) <= lib.number(member.devices)
}

fail contains lib.refusal(index, ["spec", "gpus"], {"gpus": member.gpus, "devices": member.devices}) if {
	some index, member in input.enclaves
	lib.number(member.gpus) > lib.number(member.devices)
}
