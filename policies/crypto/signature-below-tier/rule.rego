# METADATA
# title: "Signature algorithm outside the tenant's tier"
# description: >-
#   A tenant's crypto tier lists the signature algorithms that may protect what is the tenant's.
#   Anything else, also something with a good name, is outside what the tenant's owner and the tier's
#   source agreed to.
# custom:
#   severity: high
#   population: signatureUses
#   message: >-
#     {algorithm} is used here for {tenant}, whose tier {tier} admits {admitted}.
#   remediation: >-
#     Use one of {admitted}.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 SC-13"
#     - "SOC 2 CC6.1"
#   source: "docs/coverage.md, contradiction 1: a maximum tier sold with ML-DSA-65"
package qnsp.rules.crypto["signature-below-tier"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.signatureUses
	input.algorithms[member.algorithm].known == true
	member.algorithm in lib.texts(input.tiers[member.tier].signature)
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "admitted": admitted}) if {
	some index, member in input.signatureUses
	admitted := lib.texts(input.tiers[member.tier].signature)
	not member.algorithm in admitted
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "admitted": admitted}) if {
	some index, member in input.signatureUses
	input.algorithms[member.algorithm].known == false
	admitted := lib.texts(input.tiers[member.tier].signature)
	member.algorithm in admitted
}
