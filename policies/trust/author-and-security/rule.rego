# METADATA
# title: "One person writes plans and approves their weakening"
# description: >-
#   Separation of duties: who proposes a weaker policy is not who lets it pass.
# custom:
#   severity: high
#   population: identities
#   message: >-
#     {identity} holds author and security.
#   remediation: >-
#     Give one of the two roles to somebody else.
#   controls:
#     - "NIST 800-53 AC-5"
#     - "ISO 27001 A.5.3"
#     - "SOC 2 CC8.1"
package qnsp.rules.trust["author-and-security"]

import data.qnsp.lib

not_both(roles) if {
	lib.texts(roles)
	count({role | some role in roles; role in {"author", "security"}}) < 2
}

pass contains index if {
	some index, member in input.identities
	not_both(member.roles)
}

fail contains lib.refusal(index, [], {"identity": lib.text(member.identity)}) if {
	some index, member in input.identities
	lib.texts(member.roles)
	"author" in member.roles
	"security" in member.roles
}
