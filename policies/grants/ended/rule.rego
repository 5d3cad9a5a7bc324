# METADATA
# title: "Grant whose end has passed"
# description: >-
#   The broker releases nothing under it any more; a document that still lists it says something else
#   than what runs.
# custom:
#   severity: medium
#   population: grants
#   message: >-
#     This grant has ended.
#   remediation: >-
#     Remove it, or sign a new one with an end of its own.
#   controls:
#     - "NIST 800-53 AC-2(3)"
#     - "ISO 27001 A.5.18"
package qnsp.rules.grants.ended

import data.qnsp.lib

pass contains index if {
	some index, member in input.grants
	member.hasEnd == false
}

pass contains index if {
	some index, member in input.grants
	member.hasEnd == true
	lib.number(member.end) >= lib.number(input.now)
}

fail contains lib.refusal(index, ["spec", "notAfter"], {}) if {
	some index, member in input.grants
	member.hasEnd == true
	lib.number(member.end) < lib.number(input.now)
}
