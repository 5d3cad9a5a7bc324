# METADATA
# title: "Tiers that contradict each other in one workspace"
# description: >-
#   HIP-5 uses ML-KEM-768 and ML-DSA-65 in every tier; LP-4100, its parent, moves tiers 3 and 4 to ML-
#   KEM-1024 and ML-DSA-87; one number then means two things. A tier lists the tiers that say the
#   contrary of it, and a workspace takes one side.
# custom:
#   severity: high
#   population: tierRivalries
#   message: >-
#     {tier} contradicts {rival}, which is the tier of {rivalTenants}: {reason}
#   remediation: >-
#     Take one family for all tenants; the stricter one where data must stay secret for long.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 CM-3(6)"
#   source: "docs/coverage.md, contradiction 2"
package qnsp.rules.crypto["tier-families-contradict"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tierRivalries
	count(lib.texts(member.rivalTenants)) == 0
}

fail contains lib.refusal(index, [], {"tier": lib.text(member.tier), "rival": lib.text(member.rival), "rivalTenants": member.rivalTenants, "reason": lib.text(member.reason)}) if {
	some index, member in input.tierRivalries
	count(lib.texts(member.rivalTenants)) > 0
}
