# METADATA
# title: "Combination that the platform cannot do"
# description: >-
#   The catalog lists combinations that a platform's makers exclude, with the reason and the nearest
#   that works: they are refused here, not after an hour of waiting.
# custom:
#   severity: high
#   population: combinations
#   message: >-
#     {reason}
#   remediation: >-
#     {nearest}
#   controls:
#     - "NIST 800-53 CM-6"
#     - "NIST 800-53 CM-2"
#   source: "docs/coverage.md, impossible combinations"
package qnsp.rules.platform["impossible-combination"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.combinations
	lib.texts(member.unmet) != []
}

fail contains lib.refusal(index, [], {"reason": lib.text(member.reason), "nearest": lib.text(member.nearest)}) if {
	some index, member in input.combinations
	lib.texts(member.unmet) == []
}
