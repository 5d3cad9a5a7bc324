# METADATA
# title: "Shared enclave that not every tenant signed"
# description: >-
#   In a shared guest one tenant's bug is the other's leak. Each tenant must have signed the enclave's
#   document through one of its owners.
# custom:
#   severity: critical
#   population: enclaves
#   message: >-
#     No owner of {missing} has signed this shared enclave.
#   remediation: >-
#     Have an owner of {missing} sign it: `qnsp-policy sign`.
#   controls:
#     - "NIST 800-53 SC-4"
#     - "NIST 800-53 AC-4"
#     - "ISO 27001 A.8.22"
package qnsp.rules.tenancy["shared-enclave-without-consent"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.text(member.sharing) != "shared"
}

pass contains index if {
	some index, member in input.enclaves
	lib.text(member.sharing) == "shared"
	lib.missing(member.tenants, member.consents) == []
}

fail contains lib.refusal(index, ["spec", "sharing"], {"missing": gap}) if {
	some index, member in input.enclaves
	lib.text(member.sharing) == "shared"
	gap := lib.missing(member.tenants, member.consents)
	count(gap) > 0
}
