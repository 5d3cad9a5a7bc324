# METADATA
# title: "A tier admits an algorithm without a final standard"
# description: >-
#   The published strict and maximum tiers list Falcon-1024, whose standard is not final. That is
#   recorded as published; using it needs an experimental entry with an expiry.
# custom:
#   severity: low
#   population: tierSets
#   message: >-
#     {tier} admits {unsettled}, whose standard is not final, without an experimental entry that is still
#     open.
#   remediation: >-
#     Add an `experimental` entry with reason and expiry for {unsettled}, or leave them out in a tier of
#     your own that extends this one.
#   controls:
#     - "NIST 800-53 SC-13"
#     - "ISO 27001 A.8.24"
#   source: "docs/coverage.md, tier lattice"
package qnsp.rules.crypto["tier-admits-unsettled"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tierSets
	count(lib.missing(member.unsettled, member.acknowledged)) == 0
}

fail contains lib.refusal(index, [], {"tier": lib.text(member.tier), "unsettled": open}) if {
	some index, member in input.tierSets
	open := lib.missing(member.unsettled, member.acknowledged)
	count(open) > 0
}
