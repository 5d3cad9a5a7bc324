# METADATA
# title: "Stateful signature key outside an HSM"
# description: >-
#   LMS and XMSS keys break when one index is used twice. SP 800-208 allows them only in hardware that
#   never exports the state.
# custom:
#   severity: high
#   population: algorithmUses
#   message: >-
#     {algorithm} keeps state, and its key is held in {custody}.
#   remediation: >-
#     Hold the key in an HSM (`custody: hsm`), or use ML-DSA or SLH-DSA.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "NIST 800-53 SC-13"
#   source: "SP 800-208"
package qnsp.rules.crypto["stateful-signature-outside-hsm"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].stateful == false
}

pass contains index if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].stateful == true
	lib.text(member.custody) == "hsm"
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "custody": member.custody}) if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].stateful == true
	lib.text(member.custody) != "hsm"
}
