# METADATA
# title: "No evidence can show the TEE-I/O that this tier demands"
# description: >-
#   Tier 4 means full TEE-I/O: the GPU is bound to the confidential VM by TDISP. Hopper lacks it, and no
#   evidence kind here carries that binding yet, so the tier is refused on every platform today rather
#   than quietly served by less.
# custom:
#   severity: high
#   population: tenants
#   message: >-
#     {tier} demands TEE-I/O, and no evidence kind can show it yet.
#   remediation: >-
#     Keep this tenant's models out until evidence with TDISP binding exists; a GPU's own report is not
#     TEE-I/O.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "ISO 27001 A.8.24"
#   source: "docs/coverage.md, contradiction 8"
package qnsp.rules.crypto["tier-needs-tee-io"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tenants
	member.teeIo == false
}

fail contains lib.refusal(index, ["spec", "tier"], {"tier": lib.text(member.tier)}) if {
	some index, member in input.tenants
	member.teeIo == true
}
