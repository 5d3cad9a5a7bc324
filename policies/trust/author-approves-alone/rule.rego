# METADATA
# title: "Only the author could approve"
# description: >-
#   The author's own approval never counts. If nobody else may approve, no plan is ever applied, or the
#   author makes a second name.
# custom:
#   severity: high
#   population: trustRoots
#   message: >-
#     Whoever may approve ({approvers}) may also write plans, and nobody is left for the other part.
#   remediation: >-
#     Give security or operator to somebody who is no author.
#   controls:
#     - "NIST 800-53 AC-5"
#     - "ISO 27001 A.5.3"
#     - "SOC 2 CC8.1"
package qnsp.rules.trust["author-approves-alone"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.trustRoots
	count([one | some one in lib.texts(member.approvers); not one in lib.texts(member.authors)]) > 0
	lib.texts(member.authors)
}

fail contains lib.refusal(index, ["spec", "identities"], {"approvers": lib.texts(member.approvers)}) if {
	some index, member in input.trustRoots
	lib.texts(member.authors)
	count([one | some one in lib.texts(member.approvers); not one in member.authors]) == 0
}
