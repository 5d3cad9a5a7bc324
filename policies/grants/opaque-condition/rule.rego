# METADATA
# title: "Grant with a condition that the trust diff cannot see into"
# description: >-
#   Rego of your own in a release policy is kept, but no one can prove what it lets through: any change
#   of it counts as weakened.
# custom:
#   severity: low
#   population: grants
#   message: >-
#     This grant has an appraisal rule of its own.
#   remediation: >-
#     Say it with floors, classes and `requireChecked` where that is possible.
#   controls:
#     - "NIST 800-53 AC-3"
#     - "NIST 800-53 CM-3"
package qnsp.rules.grants["opaque-condition"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.grants
	member.opaque == false
}

fail contains lib.refusal(index, ["spec", "appraisal", "rego"], {}) if {
	some index, member in input.grants
	member.opaque == true
}
