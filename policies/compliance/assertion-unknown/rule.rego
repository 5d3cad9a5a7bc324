# METADATA
# title: "Assertion that does not exist"
# description: >-
#   A control mapped to a misspelt rule would never be judged, and its report would read as if it had
#   been.
# custom:
#   severity: high
#   population: controls
#   message: >-
#     No rule or assertion of this program is called {unknownAssertions}.
#   remediation: >-
#     Correct the names: `qnsp-policy policy list`.
#   controls:
#     - "ISO 27001 A.5.36"
#     - "NIST 800-53 CA-7"
package qnsp.rules.compliance["assertion-unknown"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.controls
	count(lib.texts(member.unknownAssertions)) == 0
}

fail contains lib.refusal(index, ["assertions"], {"unknownAssertions": member.unknownAssertions}) if {
	some index, member in input.controls
	count(lib.texts(member.unknownAssertions)) > 0
}
