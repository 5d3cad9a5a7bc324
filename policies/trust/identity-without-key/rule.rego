# METADATA
# title: "Identity without a signer"
# description: >-
#   It can neither sign nor approve; whatever waits for it waits for ever.
# custom:
#   severity: medium
#   population: identities
#   message: >-
#     {identity} has no signer.
#   remediation: >-
#     Add a signer, or remove the identity.
#   controls:
#     - "NIST 800-53 IA-5(2)"
#     - "ISO 27001 A.5.16"
package qnsp.rules.trust["identity-without-key"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.identities
	lib.number(member.signers) > 0
}

fail contains lib.refusal(index, [], {"identity": lib.text(member.identity)}) if {
	some index, member in input.identities
	lib.number(member.signers) <= 0
}
