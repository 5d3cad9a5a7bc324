# METADATA
# title: "Unknown algorithm"
# description: >-
#   An algorithm that is not in the catalog has no category, no sizes and no dates, so nothing can be
#   said of its strength.
# custom:
#   severity: high
#   population: algorithmUses
#   message: >-
#     {algorithm} is no algorithm of the catalog.
#   remediation: >-
#     Spell the algorithm as its standard spells it, or write an AlgorithmTimeline that says what it is.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 SC-13"
package qnsp.rules.crypto["unknown-algorithm"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].known == true
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm)}) if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].known == false
}
