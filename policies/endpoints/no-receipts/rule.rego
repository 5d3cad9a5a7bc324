# METADATA
# title: "Endpoint without receipts in production"
# description: >-
#   Without receipts nothing in the ledger says what was answered, and an answer cannot be proven later.
# custom:
#   severity: medium
#   population: endpoints
#   message: >-
#     This endpoint gives no receipts.
#   remediation: >-
#     Set `receipts: true`.
#   controls:
#     - "NIST 800-53 AU-10"
#     - "EU AI Act Art. 12"
#     - "ISO 27001 A.8.15"
package qnsp.rules.endpoints["no-receipts"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	member.production == false
}

pass contains index if {
	some index, member in input.endpoints
	member.production == true
	member.receipts == true
}

fail contains lib.refusal(index, ["spec", "receipts"], {}) if {
	some index, member in input.endpoints
	member.production == true
	member.receipts == false
}
