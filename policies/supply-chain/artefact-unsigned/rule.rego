# METADATA
# title: "Artefact that nobody signed"
# description: >-
#   A digest alone says which bytes, not whose. An unsigned model, dataset or image never loads.
# custom:
#   severity: high
#   population: artefacts
#   message: >-
#     This {type} has no signature.
#   remediation: >-
#     Have {publisher} sign it: `qnsp-policy sign`.
#   controls:
#     - "NIST 800-53 SI-7(1)"
#     - "NIST 800-53 SR-4"
#     - "SOC 2 CC6.8"
#     - "EU AI Act Art. 15(5)"
#   source: "QN-6, NV-7"
package qnsp.rules["supply-chain"]["artefact-unsigned"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.artefacts
	count(lib.texts(member.signers)) > 0
}

fail contains lib.refusal(index, ["spec"], {"type": lib.text(member.type), "publisher": lib.text(member.publisher)}) if {
	some index, member in input.artefacts
	count(lib.texts(member.signers)) == 0
}
