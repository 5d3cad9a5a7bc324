# METADATA
# title: "Hybrid key agreement under a post-quantum-only tier"
# description: >-
#   A CNSA 2.0 profile takes ML-KEM-1024 alone and refuses hybrids. They are let through only where the
#   tier declares them as a requirement of the transport (`hybrid: transport-only`).
# custom:
#   severity: high
#   population: keyExchanges
#   message: >-
#     {algorithm} is hybrid, but tier {tier} of {tenant} forbids hybrids here.
#   remediation: >-
#     Use one of {choices} that is no hybrid, or declare the hybrid as a transport requirement in the
#     tier.
#   controls:
#     - "NIST 800-53 SC-13"
#   source: "docs/coverage.md, contradiction 7"
package qnsp.rules.crypto["hybrid-forbidden"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.keyExchanges
	lib.text(input.tiers[member.tier].hybrid) in {"required", "allowed"}
}

pass contains index if {
	some index, member in input.keyExchanges
	lib.text(input.tiers[member.tier].hybrid) in {"forbidden", "transport-only"}
	input.algorithms[member.algorithm].hybrid == false
}

pass contains index if {
	some index, member in input.keyExchanges
	input.tiers[member.tier].hybrid == "transport-only"
	input.algorithms[member.algorithm].hybrid == true
	lib.text(member.purpose) == "tls"
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "choices": choices}) if {
	some index, member in input.keyExchanges
	input.tiers[member.tier].hybrid == "forbidden"
	input.algorithms[member.algorithm].hybrid == true
	choices := lib.texts(input.tiers[member.tier][member.purpose])
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "choices": choices}) if {
	some index, member in input.keyExchanges
	input.tiers[member.tier].hybrid == "transport-only"
	input.algorithms[member.algorithm].hybrid == true
	lib.text(member.purpose) != "tls"
	choices := lib.texts(input.tiers[member.tier][member.purpose])
}
