# METADATA
# title: "Endpoint without TLS in production"
# description: >-
#   Prompts and answers cross the network in clear; TLS must end inside the attester.
# custom:
#   severity: critical
#   population: endpoints
#   message: >-
#     This endpoint listens in plain text.
#   remediation: >-
#     Set `tls.mode: embedded` or `caddy`.
#   controls:
#     - "NIST 800-53 SC-8(1)"
#     - "PCI DSS 4.0.1 4.2.1"
#     - "HIPAA 164.312(e)(1)"
package qnsp.rules.endpoints.plaintext

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	member.production == false
}

pass contains index if {
	some index, member in input.endpoints
	member.production == true
	member.plaintext == false
}

fail contains lib.refusal(index, ["spec", "tls", "mode"], {}) if {
	some index, member in input.endpoints
	member.production == true
	member.plaintext == true
}
