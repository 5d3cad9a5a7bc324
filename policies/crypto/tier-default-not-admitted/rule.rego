# METADATA
# title: "A tier's default is not in its admitted set"
# description: >-
#   What a tier takes when nothing is said must be something that it admits.
# custom:
#   severity: high
#   population: tierSets
#   message: >-
#     The default {default} of {tier}'s {purpose} set is not among the admitted {admitted}.
#   remediation: >-
#     Make one of {admitted} the default.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 CM-3(6)"
package qnsp.rules.crypto["tier-default-not-admitted"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tierSets
	member.hasDefault == false
}

pass contains index if {
	some index, member in input.tierSets
	member.hasDefault == true
	member.default in lib.texts(member.admitted)
}

fail contains lib.refusal(index, [], {"tier": lib.text(member.tier), "default": lib.text(member.default), "purpose": lib.text(member.purpose), "admitted": member.admitted}) if {
	some index, member in input.tierSets
	member.hasDefault == true
	lib.texts(member.admitted)
	not member.default in member.admitted
}
