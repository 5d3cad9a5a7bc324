# METADATA
# title: "Exclusive enclave with several tenants"
# description: >-
#   `sharing: exclusive` promises that one tenant's data is alone in the guest.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     This enclave is exclusive but lists {tenants}.
#   remediation: >-
#     Give each tenant an enclave of its own, or declare `sharing: shared` and have every tenant sign.
#   controls:
#     - "NIST 800-53 SC-4"
#     - "ISO 27001 A.8.22"
#     - "SOC 2 CC6.1"
package qnsp.rules.tenancy["exclusive-enclave-shared"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.text(member.sharing) == "exclusive"
	count(lib.texts(member.tenants)) <= 1
}

pass contains index if {
	some index, member in input.enclaves
	lib.text(member.sharing) != "exclusive"
	lib.texts(member.tenants)
}

fail contains lib.refusal(index, ["spec", "tenants"], {"tenants": member.tenants}) if {
	some index, member in input.enclaves
	lib.text(member.sharing) == "exclusive"
	count(lib.texts(member.tenants)) > 1
}
