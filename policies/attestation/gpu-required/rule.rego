# METADATA
# title: "Tier asks for a confidential GPU and the enclave has none"
# description: >-
#   Tier 3 of HIP-5 adds GPU confidential computing. A CPU TEE alone, or an HSM, is not that.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     A tenant's tier asks for a confidential GPU, and this enclave has none.
#   remediation: >-
#     Add `gpus` with confidential mode on.
#   controls:
#     - "NIST 800-53 SC-39"
#   source: "HIP-5, tier 3"
package qnsp.rules.attestation["gpu-required"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	member.gpuRequired == false
}

pass contains index if {
	some index, member in input.enclaves
	member.gpuRequired == true
	lib.number(member.gpus) > 0
}

fail contains lib.refusal(index, ["spec", "size"], {}) if {
	some index, member in input.enclaves
	member.gpuRequired == true
	lib.number(member.gpus) == 0
}
