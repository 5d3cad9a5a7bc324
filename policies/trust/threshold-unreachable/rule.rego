# METADATA
# title: "More approvals needed than people can give"
# description: >-
#   The threshold for changing the TrustRoot is above the number of identities that may approve: it can
#   never be changed again.
# custom:
#   severity: high
#   population: trustRoots
#   message: >-
#     {threshold} approvals are needed, and {approvers} may approve.
#   remediation: >-
#     Lower the threshold, or give more people the roles security or operator.
#   controls:
#     - "NIST 800-53 AC-5"
#     - "NIST 800-53 CP-9(8)"
package qnsp.rules.trust["threshold-unreachable"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.trustRoots
	lib.number(member.threshold) <= count(lib.texts(member.approvers))
}

fail contains lib.refusal(index, ["spec", "thresholds", "trustRoot"], {"threshold": member.threshold, "approvers": member.approvers}) if {
	some index, member in input.trustRoots
	lib.number(member.threshold) > count(lib.texts(member.approvers))
}
