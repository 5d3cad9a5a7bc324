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
	lib.flag(member.known)
	member.algorithm in lib.texts(member.admitted)
}

fail contains lib.refusal(index, member.path, {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": lib.text(member.tier), "admitted": member.admitted}) if {
	some index, member in input.kemUses
	lib.texts(member.admitted)
	not member.algorithm in member.admitted
}

fail contains lib.refusal(index, member.path, {"algorithm": lib.text(member.algorithm), "tenant": lib.text(member.tenant), "tier": lib.text(member.tier), "admitted": member.admitted}) if {
	some index, member in input.kemUses
	member.known == false
	member.algorithm in lib.texts(member.admitted)
}
