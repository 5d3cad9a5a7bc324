# METADATA
# title: "Grant without an end in production"
# description: >-
#   A grant without `notAfter` is reviewed when somebody remembers it.
# custom:
#   severity: low
#   population: grants
#   message: >-
#     This grant has no end.
#   remediation: >-
#     Set `notAfter` to the date of the next review.
#   controls:
#     - "ISO 27001 A.5.18"
#     - "SOC 2 CC6.3"
package qnsp.rules.grants["without-end"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.grants
	member.production == false
}

pass contains index if {
	some index, member in input.grants
	member.production == true
	member.hasEnd == true
}

fail contains lib.refusal(index, ["spec"], {}) if {
	some index, member in input.grants
	member.production == true
	member.hasEnd == false
}
