# METADATA
# title: "Signer that has expired"
# description: >-
#   Signatures of an expired key no longer count: approvals that wait for it never come.
# custom:
#   severity: high
#   population: signers
#   message: >-
#     A {type} signer of {identity} has expired.
#   remediation: >-
#     Bind a new key to {identity} and remove this one.
#   controls:
#     - "NIST 800-53 IA-5(2)"
#     - "NIST 800-53 SC-12"
package qnsp.rules.trust["signer-expired"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.signers
	lib.number(member.expires) >= lib.number(input.now)
}

fail contains lib.refusal(index, ["expires"], {"type": lib.text(member.type), "identity": lib.text(member.identity)}) if {
	some index, member in input.signers
	lib.number(member.expires) < lib.number(input.now)
}
