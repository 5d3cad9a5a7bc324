# METADATA
# title: "Public artefact of a tenant whose tier encrypts at rest"
# description: >-
#   `public` fits tier 0 only. From tier 1 on everything of the tenant is encrypted at rest, whatever a
#   single artefact says.
# custom:
#   severity: high
#   population: artefacts
#   message: >-
#     This {type} is marked public, but the tier of {tenant} asks for encryption at rest.
#   remediation: >-
#     Remove `public`, and seal it; or let a tenant of tier 0 own it.
#   controls:
#     - "NIST 800-53 SC-28(1)"
#     - "ISO 27001 A.8.24"
#   source: "docs/coverage.md, contradiction 4"
package qnsp.rules["supply-chain"]["public-artefact-of-a-tier"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.artefacts
	member.public == false
}

pass contains index if {
	some index, member in input.artefacts
	member.public == true
	member.tierAtRest == false
}

fail contains lib.refusal(index, ["spec", "public"], {"type": lib.text(member.type), "tenant": lib.text(member.tenant)}) if {
	some index, member in input.artefacts
	member.public == true
	member.tierAtRest == true
}
