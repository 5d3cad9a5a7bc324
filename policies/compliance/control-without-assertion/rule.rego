# METADATA
# title: "Control that claims to be covered and is judged by nothing"
# description: >-
#   A health probe or a sentence is no evidence. A control of responsibility `tool` needs an assertion.
# custom:
#   severity: medium
#   population: controls
#   message: >-
#     {control} is said to be covered by the tool, and no assertion speaks for it.
#   remediation: >-
#     Map an assertion to it, or set `responsibility: customer`.
#   controls:
#     - "ISO 27001 A.5.36"
#     - "NIST 800-53 CA-2"
package qnsp.rules.compliance["control-without-assertion"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.controls
	lib.number(member.assertions) > 0
}

pass contains index if {
	some index, member in input.controls
	lib.number(member.assertions) == 0
	lib.text(member.responsibility) != "tool"
}

pass contains index if {
	some index, member in input.controls
	lib.number(member.assertions) == 0
	lib.text(member.responsibility) == "tool"
	member.notApplicable == true
}

fail contains lib.refusal(index, [], {"control": lib.text(member.control)}) if {
	some index, member in input.controls
	lib.number(member.assertions) == 0
	lib.text(member.responsibility) == "tool"
	member.notApplicable == false
}
