# METADATA
# title: "Endpoint without TLS while trying things out"
# description: >-
#   Allowed on loopback outside of production, and never without being told at every check.
# custom:
#   severity: low
#   population: endpoints
#   message: >-
#     This endpoint listens in plain text (insecure-plaintext).
#   remediation: >-
#     Set `tls.mode: embedded` or `caddy`.
#   controls:
#     - "NIST 800-53 SC-8(1)"
package qnsp.rules.endpoints["plaintext-in-development"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	member.production == true
	member.plaintext in {true, false}
}

pass contains index if {
	some index, member in input.endpoints
	member.production == false
	member.plaintext == false
}

fail contains lib.refusal(index, ["spec", "tls", "mode"], {}) if {
	some index, member in input.endpoints
	member.production == false
	member.plaintext == true
}
