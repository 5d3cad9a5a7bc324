# METADATA
# title: "Key agreement without a post-quantum part"
# description: >-
#   Traffic recorded today under X25519 or P-256 alone can be opened later. LP-4100 permits a silent
#   fallback to classical; here a fallback is refused.
# custom:
#   severity: high
#   population: keyExchanges
#   message: >-
#     {algorithm} has no post-quantum part; {tenant} is in tier {tier}.
#   remediation: >-
#     Use one of {choices}.
#   controls:
#     - "NIST 800-53 SC-8(1)"
#     - "PCI DSS 4.0.1 4.2.1"
#   source: "HZ-10: no silent classical fallback"
package qnsp.rules.crypto["classical-key-agreement"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.keyExchanges
	input.algorithms[member.algorithm].postQuantum == true
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "choices": choices}) if {
	some index, member in input.keyExchanges
	input.algorithms[member.algorithm].postQuantum == false
	choices := lib.texts(input.tiers[member.tier][member.purpose])
}
