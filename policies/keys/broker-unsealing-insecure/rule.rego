# METADATA
# title: "Key broker opens its store with a file in production"
# description: >-
#   Software unsealing lies beside what it opens: whoever copies the disk has every key. In production a
#   broker opens its store by an attested KMS, by shares or by a peer.
# custom:
#   severity: critical
#   population: brokers
#   message: >-
#     This broker's store is unsealed by {unsealing}.
#   remediation: >-
#     Set `unsealing.method` to attested-kms, shares or peer.
#   controls:
#     - "NIST 800-53 SC-12(3)"
#     - "PCI DSS 4.0.1 3.6.1"
package qnsp.rules.keys["broker-unsealing-insecure"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	member.production == false
}

pass contains index if {
	some index, member in input.brokers
	member.production == true
	member.insecureUnsealing == false
}

fail contains lib.refusal(index, ["spec", "unsealing", "method"], {"unsealing": lib.text(member.unsealing)}) if {
	some index, member in input.brokers
	member.production == true
	member.insecureUnsealing == true
}
