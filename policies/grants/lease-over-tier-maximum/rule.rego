# METADATA
# title: "Lease longer than a tier allows"
# description: >-
#   A lease is how long a released key may be used before the guest must prove itself again. A tier
#   bounds it, so that a revocation works in that time.
# custom:
#   severity: high
#   population: grants
#   message: >-
#     Keys are leased for {lease} s, but {tier} allows {leaseMaximum} s.
#   remediation: >-
#     Set `lease` to at most {leaseMaximum} s.
#   controls:
#     - "NIST 800-53 AC-12"
#     - "NIST 800-53 SC-12"
package qnsp.rules.grants["lease-over-tier-maximum"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.grants
	lib.number(member.lease) <= lib.number(member.leaseMaximum)
}

fail contains lib.refusal(index, ["spec", "lease"], {"lease": member.lease, "tier": lib.text(member.tier), "leaseMaximum": member.leaseMaximum}) if {
	some index, member in input.grants
	lib.number(member.lease) > lib.number(member.leaseMaximum)
}
