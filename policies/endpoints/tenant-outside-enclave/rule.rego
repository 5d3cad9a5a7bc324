# METADATA
# title: "Endpoint for a tenant that its enclave does not serve"
# description: >-
#   A tenant's requests would be answered inside a guest that never agreed to hold them.
# custom:
#   severity: high
#   population: endpoints
#   message: >-
#     This endpoint answers {missing}, which {enclave} does not list among its tenants.
#   remediation: >-
#     Add {missing} to the enclave's tenants and have it sign, or remove it here.
#   controls:
#     - "NIST 800-53 SC-4"
#     - "ISO 27001 A.8.22"
package qnsp.rules.endpoints["tenant-outside-enclave"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	lib.missing(member.tenants, member.enclaveTenants) == []
}

fail contains lib.refusal(index, ["spec", "tenants"], {"missing": gap, "enclave": lib.text(member.enclave)}) if {
	some index, member in input.endpoints
	gap := lib.missing(member.tenants, member.enclaveTenants)
	count(gap) > 0
}
