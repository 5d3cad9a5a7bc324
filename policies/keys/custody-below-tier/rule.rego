# METADATA
# title: "Root key kept in a weaker place than its tier asks"
# description: >-
#   Custody is a field of its own: a CPU TEE protects what runs, it says nothing about where a root
#   lives. The weakest place that a tier allows is software, tpm, enclave, kms or hsm, in this order.
# custom:
#   severity: high
#   population: keys
#   message: >-
#     The {role} is kept in {custody}, but {tier} asks for {required} at least.
#   remediation: >-
#     Set `custody: {required}` or something stronger and name the key by its keeper.
#   controls:
#     - "NIST 800-53 SC-12(3)"
#     - "PCI DSS 4.0.1 3.6.1.1"
#     - "ISO 27001 A.8.24"
#   source: "docs/coverage.md, contradiction 3"
package qnsp.rules.keys["custody-below-tier"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.keys
	lib.text(member.keyClass) != "root"
}

pass contains index if {
	some index, member in input.keys
	lib.text(member.keyClass) == "root"
	lib.number(member.custodyRank) >= lib.number(input.tiers[member.tier].custodyRank)
}

fail contains lib.refusal(index, ["custody"], {"role": lib.text(member.role), "custody": lib.text(member.custody), "required": lib.text(bar.custody), "tier": member.tier}) if {
	some index, member in input.keys
	lib.text(member.keyClass) == "root"
	bar := input.tiers[member.tier]
	lib.number(member.custodyRank) < lib.number(bar.custodyRank)
}
