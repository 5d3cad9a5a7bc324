# METADATA
# title: "Nobody holds the security role"
# description: >-
#   A weakening needs a security approval, and a revocation in a hurry somebody who answers for it.
# custom:
#   severity: high
#   population: trustRoots
#   message: >-
#     No identity holds the role security.
#   remediation: >-
#     Give the role to somebody who writes no plans.
#   controls:
#     - "NIST 800-53 AC-5"
#     - "NIST 800-53 IR-4"
package qnsp.rules.trust["nobody-for-security"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.trustRoots
	count(lib.texts(member.security)) > 0
}

fail contains lib.refusal(index, ["spec", "identities"], {}) if {
	some index, member in input.trustRoots
	count(lib.texts(member.security)) == 0
}
