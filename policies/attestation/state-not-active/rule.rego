# METADATA
# title: "Enclave on reference values that are not active"
# description: >-
#   Candidate values are not approved yet, retired ones are replaced, revoked ones are known to be bad.
# custom:
#   severity: high
#   population: referenceValues
#   message: >-
#     These reference values are {state}, and {users} depends on them.
#   remediation: >-
#     Point the enclave to active values.
#   controls:
#     - "NIST 800-53 CM-14"
#     - "ISO 27001 A.8.9"
package qnsp.rules.attestation["state-not-active"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) == 0
	lib.text(member.state)
}

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) > 0
	lib.text(member.state) == "active"
}

fail contains lib.refusal(index, ["spec", "state"], {"users": member.users, "state": member.state}) if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) > 0
	lib.text(member.state) != "active"
}
