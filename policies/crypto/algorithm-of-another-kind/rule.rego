# METADATA
# title: "Algorithm of another kind"
# description: >-
#   A KEM encapsulates keys, a signature certifies, an AEAD carries bytes. "Weights encrypted with ML-
#   KEM" and "a KEM root above ML-DSA keys" name an algorithm for work that it cannot do.
# custom:
#   severity: high
#   population: algorithmUses
#   message: >-
#     {algorithm} is {kind}, but {purpose} is needed here.
#   remediation: >-
#     Name a {purpose} algorithm here; where bytes are encrypted a KEM wraps the data key and AES-256-GCM
#     carries the bytes.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 SC-13"
#   source: "docs/coverage.md, contradictions 5 and 6"
package qnsp.rules.crypto["algorithm-of-another-kind"]

import data.qnsp.lib

# TLS takes groups, and the KEMs that some groups are called by.
serves(kind, kind)

serves("kem", "tls")

pass contains index if {
	some index, member in input.algorithmUses
	facts := input.algorithms[member.algorithm]
	facts.known == true
	serves(lib.text(facts.kind), lib.text(member.purpose))
}

pass contains index if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].known == false
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "kind": facts.kind, "purpose": member.purpose}) if {
	some index, member in input.algorithmUses
	facts := input.algorithms[member.algorithm]
	facts.known == true
	lib.text(facts.kind)
	lib.text(member.purpose)
	not serves(facts.kind, member.purpose)
}
