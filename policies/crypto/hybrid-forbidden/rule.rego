# METADATA
# title: "Hybrid key agreement under a post-quantum-only tier"
# description: >-
#   A CNSA 2.0 profile takes ML-KEM-1024 alone and refuses hybrids. They are let through only where the
#   tier declares them as a requirement of the transport.
# custom:
#   severity: high
#   population: keyExchanges
#   message: >-
#     {algorithm} is hybrid, but tier {tier} of {tenant} forbids hybrids and declares no exception for
#     transport.
#   remediation: >-
#     Use one of {choices}, or declare the hybrid as a transport requirement in the tier.
#   controls:
#     - "NIST 800-53 SC-13"
#   source: "docs/coverage.md, contradiction 7"
package qnsp.rules.crypto["hybrid-forbidden"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.keyExchanges
	lib.text(member.hybridRule) != "forbidden"
}

pass contains index if {
	some index, member in input.keyExchanges
	member.hybridRule == "forbidden"
	member.hybrid == false
}

pass contains index if {
	some index, member in input.keyExchanges
	member.hybridRule == "forbidden"
	member.hybrid == true
	member.transport == true
}

fail contains lib.refusal(index, member.path, {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": lib.text(member.tier), "choices": lib.texts(member.choices)}) if {
	some index, member in input.keyExchanges
	member.hybridRule == "forbidden"
	member.hybrid == true
	member.transport == false
}
