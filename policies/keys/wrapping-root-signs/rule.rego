# METADATA
# title: "A root that should wrap signs, or a root that should sign wraps"
# description: >-
#   A KEM can wrap, not certify. HIP-5 puts a KEM root above ML-DSA keys; here the wrapping root and the
#   signing root are two keys, each of its own kind.
# custom:
#   severity: critical
#   population: keys
#   message: >-
#     The {role} has algorithm {algorithm}, which is {kind}.
#   remediation: >-
#     Use a KEM such as ML-KEM-1024 for the wrapping root and a signature algorithm such as ML-DSA-87 for
#     the signing root.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "ISO 27001 A.8.24"
#   source: "docs/coverage.md, contradiction 5"
package qnsp.rules.keys["wrapping-root-signs"]

import data.qnsp.lib

kinds := {"wrapping-root": "kem", "signing-root": "signature"}

pass contains index if {
	some index, member in input.keys
	lib.text(member.keyClass) != "root"
}

pass contains index if {
	some index, member in input.keys
	member.keyClass == "root"
	kinds[member.role] == input.algorithms[member.algorithm].kind
}

fail contains lib.refusal(index, ["algorithm"], {"role": member.role, "algorithm": member.algorithm, "kind": kind}) if {
	some index, member in input.keys
	member.keyClass == "root"
	kind := lib.text(input.algorithms[member.algorithm].kind)
	kinds[member.role] != kind
}
