# METADATA
# title: "Key broker without TLS in production"
# description: >-
#   The protocol seals the keys themselves, not who asks for what.
# custom:
#   severity: critical
#   population: brokers
#   message: >-
#     This broker listens in plain text.
#   remediation: >-
#     Set `tls: embedded` or `tls: caddy`.
#   controls:
#     - "NIST 800-53 SC-8(1)"
#     - "PCI DSS 4.0.1 4.2.1"
package qnsp.rules.keys["broker-plaintext"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	member.production == false
}

pass contains index if {
	some index, member in input.brokers
	member.production == true
	member.plaintext == false
}

fail contains lib.refusal(index, ["spec", "tls"], {}) if {
	some index, member in input.brokers
	member.production == true
	member.plaintext == true
}
