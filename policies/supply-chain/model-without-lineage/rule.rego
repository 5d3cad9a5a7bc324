# METADATA
# title: "Model of which nobody says what it was made of"
# description: >-
#   Poisoned training data is found by following lineage. A model without any cannot be followed.
# custom:
#   severity: low
#   population: artefacts
#   message: >-
#     This {type} has no lineage.
#   remediation: >-
#     Name the datasets and models it was made of in `lineage`.
#   controls:
#     - "EU AI Act Art. 10(2)"
#     - "NIST 800-53 SR-4"
#     - "ISO 42001 A.7.5"
package qnsp.rules["supply-chain"]["model-without-lineage"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.artefacts
	lib.text(member.type) != "model"
}

pass contains index if {
	some index, member in input.artefacts
	lib.text(member.type) == "model"
	lib.number(member.lineage) > 0
}

fail contains lib.refusal(index, ["spec", "lineage"], {"type": member.type}) if {
	some index, member in input.artefacts
	lib.text(member.type) == "model"
	lib.number(member.lineage) == 0
}
