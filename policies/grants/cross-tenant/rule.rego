# METADATA
# title: "Grant of one tenant's key to an enclave of another"
# description: >-
#   Who may run in an enclave says nothing about who gets keys, but a key given to an enclave in which
#   its owner is no tenant is in foreign hands.
# custom:
#   severity: critical
#   population: grantResources
#   message: >-
#     {resource} of {tenant} would be released to {enclave}, which belongs to {enclaveTenants}.
#   remediation: >-
#     Grant it to an enclave of {tenant}; to share an enclave, list both tenants there and have both sign.
#   controls:
#     - "NIST 800-53 AC-4"
#     - "NIST 800-53 SC-4"
#     - "ISO 27001 A.8.22"
#     - "SOC 2 CC6.1"
#   source: "QN-8"
package qnsp.rules.grants["cross-tenant"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.grantResources
	lib.text(member.tenant) in lib.texts(member.enclaveTenants)
}

fail contains lib.refusal(index, [], {"resource": lib.text(member.resource), "tenant": member.tenant, "enclave": lib.text(member.enclave), "enclaveTenants": member.enclaveTenants}) if {
	some index, member in input.grantResources
	lib.text(member.tenant)
	lib.texts(member.enclaveTenants)
	not member.tenant in member.enclaveTenants
}
