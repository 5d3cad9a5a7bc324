# METADATA
# title: "Key broker that nobody can administer"
# description: >-
#   Admin requests are signed. Without an admin key nothing can be tightened in a hurry, for example by
#   a revocation.
# custom:
#   severity: medium
#   population: brokers
#   message: >-
#     This broker accepts no admin key.
#   remediation: >-
#     List at least one public key in `identity.admin`.
#   controls:
#     - "NIST 800-53 AC-3"
#     - "NIST 800-53 IA-5(2)"
package qnsp.rules.keys["broker-without-admin"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	lib.number(member.adminKeys) > 0
}

fail contains lib.refusal(index, ["spec", "identity"], {}) if {
	some index, member in input.brokers
	lib.number(member.adminKeys) <= 0
}
