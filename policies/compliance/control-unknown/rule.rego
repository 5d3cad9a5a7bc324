# METADATA
# title: "Control that its framework does not have"
# description: >-
#   A.9.1, A.10.1 and A.12.4 are numbers of ISO 27001:2013; under a 2022 label they are not controls at
#   all.
# custom:
#   severity: high
#   population: controls
#   message: >-
#     {control} is no control of {framework}.{otherEdition}
#   remediation: >-
#     Use the number of the edition that the mapping names.
#   controls:
#     - "ISO 27001 A.5.36"
#   source: "docs/coverage.md, contradiction 12"
package qnsp.rules.compliance["control-unknown"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.controls
	member.controlKnown == true
}

fail contains lib.refusal(index, ["control"], {"control": lib.text(member.control), "framework": lib.text(member.framework), "otherEdition": lib.text(member.otherEdition)}) if {
	some index, member in input.controls
	member.controlKnown == false
}
