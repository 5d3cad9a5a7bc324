# METADATA
# title: "TLS group outside the tenant's tier"
# description: >-
#   A tenant's crypto tier lists the TLS groups that may protect what is the tenant's. Anything else,
#   also something with a good name, is outside what the tenant's owner and the tier's source agreed to.
# custom:
#   severity: high
#   population: tlsUses
#   message: >-
#     {algorithm} is used here for {tenant}, whose tier {tier} admits {admitted}.
#   remediation: >-
#     Use one of {admitted}.
#   controls:
#     - "ISO 27001 A.8.20"
#     - "NIST 800-53 SC-8(1)"
#     - "PCI DSS 4.0.1 4.2.1"
package qnsp.rules.crypto["tls-group-below-tier"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tlsUses
	input.algorithms[member.algorithm].known == true
	member.algorithm in lib.texts(input.tiers[member.tier].tls)
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "admitted": admitted}) if {
	some index, member in input.tlsUses
	admitted := lib.texts(input.tiers[member.tier].tls)
	not member.algorithm in admitted
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": member.tier, "admitted": admitted}) if {
	some index, member in input.tlsUses
	input.algorithms[member.algorithm].known == false
	admitted := lib.texts(input.tiers[member.tier].tls)
	member.algorithm in admitted
}
