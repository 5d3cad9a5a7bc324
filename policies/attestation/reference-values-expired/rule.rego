# METADATA
# title: "Reference values that have expired"
# description: >-
#   What an enclave must measure was right for a time. After its expiry nobody vouches for the image any
#   more, and the broker releases nothing on it.
# custom:
#   severity: critical
#   population: referenceValues
#   message: >-
#     These reference values have expired; nothing is released to {users}.
#   remediation: >-
#     Compute and sign new values; do not move the date of the old ones.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "NIST 800-53 CM-14"
#     - "ISO 27001 A.8.9"
package qnsp.rules.attestation["reference-values-expired"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) == 0
}

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) > 0
	lib.number(member.expires) >= lib.number(input.now)
}

fail contains lib.refusal(index, ["spec", "expires"], {"users": member.users}) if {
	some index, member in input.referenceValues
	count(lib.texts(member.users)) > 0
	lib.number(member.expires) < lib.number(input.now)
}
