# METADATA
# title: "Reference values that expire within 30 days"
# description: >-
#   New values need a build, a second builder and approvals. Thirty days are enough to do that in peace.
# custom:
#   severity: low
#   population: referenceValues
#   message: >-
#     These reference values of {users} expire within 30 days.
#   remediation: >-
#     Compute and sign new values before they end.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "NIST 800-53 CM-3"
package qnsp.rules.attestation["reference-values-expiring"]

import data.qnsp.lib

month := (30 * 24) * 3600

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) == 0
}

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) > 0
	lib.number(member.expires) >= lib.number(input.now) + month
}

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) > 0
	lib.number(member.expires) < lib.number(input.now)
}

fail contains lib.refusal(index, ["spec", "expires"], {"users": member.users}) if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) > 0
	lib.number(member.expires) >= lib.number(input.now)
	member.expires < input.now + month
}
