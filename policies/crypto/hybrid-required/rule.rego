# METADATA
# title: "Key agreement without the hybrid that the tier requires"
# description: >-
#   HIP-5 requires hybrid key agreement between services, and BSI and ANSSI require it in general: the
#   classical half protects against a flaw in the young one. The rule speaks of transport; which KEM
#   wraps keys at rest is said by the tier's list.
# custom:
#   severity: high
#   population: keyExchanges
#   message: >-
#     {algorithm} is not hybrid, but tier {tier} of {tenant} requires hybrid key agreement.
#   remediation: >-
#     Use one of {choices}.
#   controls:
#     - "NIST 800-53 SC-8(1)"
#     - "ISO 27001 A.8.24"
#   source: "HIP-5; BSI TR-02102"
package qnsp.rules.crypto["hybrid-required"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.keyExchanges
	lib.text(member.purpose) != "tls"
}

pass contains index if {
	some index, member in input.keyExchanges
	lib.text(member.purpose) == "tls"
	lib.text(input.tiers[member.tier].hybrid) != "required"
}

pass contains index if {
	some index, member in input.keyExchanges
	lib.text(member.purpose) == "tls"
	lib.text(input.tiers[member.tier].hybrid) == "required"
	input.algorithms[member.algorithm].hybrid == true
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "choices": choices}) if {
	some index, member in input.keyExchanges
	lib.text(member.purpose) == "tls"
	lib.text(input.tiers[member.tier].hybrid) == "required"
	input.algorithms[member.algorithm].hybrid == false
	choices := lib.texts(input.tiers[member.tier][member.purpose])
}
