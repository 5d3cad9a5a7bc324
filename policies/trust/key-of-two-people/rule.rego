# METADATA
# title: "One key that speaks for two identities"
# description: >-
#   Two approvals by one key are one approval: thresholds, and that author and approver differ, would
#   mean nothing.
# custom:
#   severity: critical
#   population: identities
#   message: >-
#     A key of {identity} is also bound to {duplicates}.
#   remediation: >-
#     Give each identity keys of its own.
#   controls:
#     - "NIST 800-53 IA-5(2)"
#     - "NIST 800-53 AC-5"
package qnsp.rules.trust["key-of-two-people"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.identities
	count(lib.texts(member.duplicates)) == 0
}

fail contains lib.refusal(index, [], {"identity": lib.text(member.identity), "duplicates": member.duplicates}) if {
	some index, member in input.identities
	count(lib.texts(member.duplicates)) > 0
}
