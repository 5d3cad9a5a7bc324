# METADATA
# title: "Enclave outside the regions of a tenant"
# description: >-
#   A tenant says where its data may be. An enclave elsewhere would take keys and data there.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     This enclave is in {regions}, its tenants allow {tenantRegions}.
#   remediation: >-
#     Move it to {tenantRegions}.
#   controls:
#     - "ISO 27001 A.5.23"
#     - "GDPR 32"
#     - "NIST 800-53 SA-9(5)"
package qnsp.rules.tenancy["region-outside-tenant"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.missing(member.regions, member.tenantRegions) == []
}

fail contains lib.refusal(index, ["spec", "platform"], {"regions": gap, "tenantRegions": lib.texts(member.tenantRegions)}) if {
	some index, member in input.enclaves
	gap := lib.missing(member.regions, member.tenantRegions)
	count(gap) > 0
}
