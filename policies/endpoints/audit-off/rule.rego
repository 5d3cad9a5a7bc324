# METADATA
# title: "Endpoint without audit in production"
# description: >-
#   Audit records hold no payload; without them nobody can say who used the model.
# custom:
#   severity: medium
#   population: endpoints
#   message: >-
#     This endpoint records nothing of its requests.
#   remediation: >-
#     Set `audit.level: metadata`.
#   controls:
#     - "NIST 800-53 AU-12"
#     - "EU AI Act Art. 12"
#     - "ISO 27001 A.8.15"
package qnsp.rules.endpoints["audit-off"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	member.production == false
}

pass contains index if {
	some index, member in input.endpoints
	member.production == true
	member.auditOff == false
}

fail contains lib.refusal(index, ["spec", "audit", "level"], {}) if {
	some index, member in input.endpoints
	member.production == true
	member.auditOff == true
}
