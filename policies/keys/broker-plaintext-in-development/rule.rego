# METADATA
# title: "Key broker without TLS while trying things out"
# description: >-
#   Allowed on loopback outside of production, and never without being told at every check.
# custom:
#   severity: low
#   population: brokers
#   message: >-
#     This broker listens in plain text (insecure-plaintext).
#   remediation: >-
#     Set `tls: embedded` or `tls: caddy`.
#   controls:
#     - "NIST 800-53 SC-8(1)"
package qnsp.rules.keys["broker-plaintext-in-development"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	member.production == true
	member.plaintext in {true, false}
}

pass contains index if {
	some index, member in input.brokers
	member.production == false
	member.plaintext == false
}

fail contains lib.refusal(index, ["spec", "tls"], {}) if {
	some index, member in input.brokers
	member.production == false
	member.plaintext == true
}
