# METADATA
# title: "Endpoint that answers anybody in production"
# description: >-
#   Requests are signed by a key of the tenant. Without that there are no quotas and no audit by caller.
# custom:
#   severity: high
#   population: endpoints
#   message: >-
#     This endpoint answers requests without a signature.
#   remediation: >-
#     Set `requestAuthentication: required`.
#   controls:
#     - "NIST 800-53 IA-9"
#     - "ISO 27001 A.8.5"
#     - "SOC 2 CC6.1"
#   source: "HZ-6"
package qnsp.rules.endpoints["requests-unauthenticated"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	member.production == false
}

pass contains index if {
	some index, member in input.endpoints
	member.production == true
	member.authenticated == true
}

fail contains lib.refusal(index, ["spec", "requestAuthentication"], {}) if {
	some index, member in input.endpoints
	member.production == true
	member.authenticated == false
}
