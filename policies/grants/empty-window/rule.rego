# METADATA
# title: "Grant that ends before it begins"
# description: >-
#   Nothing is ever released under it.
# custom:
#   severity: medium
#   population: grants
#   message: >-
#     This grant begins after it ends.
#   remediation: >-
#     Set `notBefore` before `notAfter`.
#   controls:
#     - "NIST 800-53 AC-3"
package qnsp.rules.grants["empty-window"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.grants
	member.hasEnd == false
	lib.number(member.start)
}

pass contains index if {
	some index, member in input.grants
	member.hasEnd == true
	lib.number(member.start) <= lib.number(member.end)
}

fail contains lib.refusal(index, ["spec", "notBefore"], {}) if {
	some index, member in input.grants
	member.hasEnd == true
	lib.number(member.start) > lib.number(member.end)
}
