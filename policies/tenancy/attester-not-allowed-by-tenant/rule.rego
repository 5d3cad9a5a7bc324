# METADATA
# title: "Attester that a tenant does not allow"
# description: >-
#   A tenant may name the attesters that may hold its data.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     {attester} is not among {attestersAllowed}, which a tenant of this enclave allows.
#   remediation: >-
#     Use one of {attestersAllowed}.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "ISO 27001 A.5.23"
package qnsp.rules.tenancy["attester-not-allowed-by-tenant"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	count(lib.texts(member.attestersAllowed)) == 0
	lib.text(member.attester)
}

pass contains index if {
	some index, member in input.enclaves
	count(lib.texts(member.attestersAllowed)) > 0
	lib.text(member.attester) in member.attestersAllowed
}

fail contains lib.refusal(index, ["spec", "attester"], {"attester": member.attester, "attestersAllowed": member.attestersAllowed}) if {
	some index, member in input.enclaves
	count(lib.texts(member.attestersAllowed)) > 0
	lib.text(member.attester)
	not member.attester in member.attestersAllowed
}
