# METADATA
# title: "Break-glass for everything"
# description: >-
#   What may be opened in an emergency is named in advance; a wildcard opens what nobody thought of.
# custom:
#   severity: high
#   population: breakGlasses
#   message: >-
#     Opens whatever there will ever be under {wildcards}.
#   remediation: >-
#     Name the resources one by one.
#   controls:
#     - "NIST 800-53 AC-6"
#     - "NIST 800-53 AC-3(2)"
package qnsp.rules.grants["break-glass-wildcard"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.breakGlasses
	count(lib.texts(member.wildcards)) == 0
}

fail contains lib.refusal(index, ["spec", "resources"], {"wildcards": member.wildcards}) if {
	some index, member in input.breakGlasses
	count(lib.texts(member.wildcards)) > 0
}
