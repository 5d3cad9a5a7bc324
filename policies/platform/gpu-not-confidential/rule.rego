# METADATA
# title: "GPU without confidential mode"
# description: >-
#   A GPU that is off or in devtools mode hands its memory to the host: weights and prompts cross the
#   bus in clear.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     {gpus} x {gpuModel} have confidential mode {gpuMode}.
#   remediation: >-
#     Set `gpus.confidentialMode: on`, or `ppcie` for a whole multi-GPU Hopper node.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "NIST 800-53 SC-28"
#   source: "docs/coverage.md, contradiction 9"
package qnsp.rules.platform["gpu-not-confidential"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.number(member.gpus) == 0
}

pass contains index if {
	some index, member in input.enclaves
	lib.number(member.gpus) > 0
	lib.text(member.gpuMode) in {"on", "ppcie"}
}

fail contains lib.refusal(index, ["spec", "gpus", "confidentialMode"], {"gpus": member.gpus, "gpuModel": lib.text(member.gpuModel), "gpuMode": member.gpuMode}) if {
	some index, member in input.enclaves
	lib.number(member.gpus) > 0
	lib.text(member.gpuMode)
	not member.gpuMode in {"on", "ppcie"}
}
