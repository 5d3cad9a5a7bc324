# METADATA
# title: "Identity without the role that this place needs"
# description: >-
#   The TrustRoot says what an identity may do. A tenant's owner must hold tenant-owner, a publisher
#   must hold publisher; a name alone gives nothing.
# custom:
#   severity: medium
#   population: identityReferences
#   message: >-
#     {identity} is named here as {required}, but the TrustRoot gives it {roles}.
#   remediation: >-
#     Give {identity} the role {required} in the TrustRoot, or name somebody who has it.
#   controls:
#     - "ISO 27001 A.5.18"
#     - "NIST 800-53 AC-6"
package qnsp.rules.tenancy["identity-without-role"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.identityReferences
	member.required in lib.texts(input.roles[member.identity])
}

fail contains lib.refusal(index, [], {"identity": member.identity, "required": member.required, "roles": roles}) if {
	some index, member in input.identityReferences
	roles := lib.texts(input.roles[member.identity])
	lib.text(member.required)
	not member.required in roles
}
