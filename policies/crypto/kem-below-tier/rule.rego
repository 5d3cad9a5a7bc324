# METADATA
# title: "Key encapsulation outside the tenant's tier"
# description: >-
#   A tenant's crypto tier lists the key encapsulation mechanisms that may protect what is the tenant's.
#   Anything else, also something with a good name, is outside what the tenant's owner and the tier's
#   source agreed to.
# custom:
#   severity: high
#   population: kemUses
#   message: >-
#     {algorithm} is used here for {tenant}, whose tier {tier} admits {admitted}.
#   remediation: >-
#     Use one of {admitted}.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 SC-13"
#     - "NIST 800-53 SC-12(3)"
#   source: "HIP-5 and LP-4100 differ in tiers 3 and 4; each is held as published"
package qnsp.rules.crypto["kem-below-tier"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.kemUses
	input.algorithms[member.algorithm].known == true
	member.algorithm in lib.texts(input.tiers[member.tier].kem)
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "admitted": admitted}) if {
	some index, member in input.kemUses
	admitted := lib.texts(input.tiers[member.tier].kem)
	not member.algorithm in admitted
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "admitted": admitted}) if {
	some index, member in input.kemUses
	input.algorithms[member.algorithm].known == false
	admitted := lib.texts(input.tiers[member.tier].kem)
	member.algorithm in admitted
}
