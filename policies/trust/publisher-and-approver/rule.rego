# METADATA
# title: "One person publishes images and approves them"
# description: >-
#   One compromised laptop would build the image and let it in.
# custom:
#   severity: high
#   population: identities
#   message: >-
#     {identity} holds publisher and {also}.
#   remediation: >-
#     Let a build system or somebody without approving roles publish.
#   controls:
#     - "NIST 800-53 AC-5"
#     - "NIST 800-53 SR-11"
#     - "SOC 2 CC8.1"
package qnsp.rules.trust["publisher-and-approver"]

import data.qnsp.lib

apart(roles) if {
	lib.texts(roles)
	not "publisher" in roles
}

apart(roles) if {
	lib.texts(roles)
	"publisher" in roles
	count({role | some role in roles; role in {"security", "operator"}}) == 0
}

pass contains index if {
	some index, member in input.identities
	apart(member.roles)
}

fail contains lib.refusal(index, [], {"identity": lib.text(member.identity), "also": also}) if {
	some index, member in input.identities
	lib.texts(member.roles)
	"publisher" in member.roles
	also := [role | some role in member.roles; role in {"security", "operator"}]
	count(also) > 0
}
