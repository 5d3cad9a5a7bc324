# METADATA
# title: "Artefact sealed with another tenant's key"
# description: >-
#   The owner of the key, not the owner of the artefact, would decide who opens it.
# custom:
#   severity: critical
#   population: artefacts
#   message: >-
#     This {type} is {tenant}'s, but is sealed with {key} of {keyTenant}.
#   remediation: >-
#     Seal it with a key of {tenant}.
#   controls:
#     - "NIST 800-53 SC-4"
#     - "ISO 27001 A.8.22"
#     - "SOC 2 CC6.1"
package qnsp.rules.tenancy["artefact-key-of-other-tenant"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.artefacts
	member.encrypted == false
}

pass contains index if {
	some index, member in input.artefacts
	member.encrypted == true
	member.hasTenant == true
	lib.text(member.tenant) == lib.text(member.keyTenant)
}

pass contains index if {
	some index, member in input.artefacts
	member.encrypted == true
	member.hasTenant == false
}

fail contains lib.refusal(index, ["spec", "encryption", "key"], {"type": lib.text(member.type), "tenant": member.tenant, "key": lib.text(member.key), "keyTenant": member.keyTenant}) if {
	some index, member in input.artefacts
	member.encrypted == true
	member.hasTenant == true
	lib.text(member.tenant) != lib.text(member.keyTenant)
}
