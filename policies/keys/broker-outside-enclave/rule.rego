# METADATA
# title: "Key broker outside an enclave in production"
# description: >-
#   Host, hypervisor and cloud are untrusted. A broker that runs beside them hands every key it releases
#   to whoever administers its machine.
# custom:
#   severity: high
#   population: brokers
#   message: >-
#     This broker runs in no enclave.
#   remediation: >-
#     Name the enclave that it runs in.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "ISO 27001 A.8.24"
#   source: "NVIDIA reference architecture: host OS, hypervisor and cloud are untrusted"
package qnsp.rules.keys["broker-outside-enclave"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	member.production == false
}

pass contains index if {
	some index, member in input.brokers
	member.production == true
	member.hasEnclave == true
}

fail contains lib.refusal(index, ["spec", "enclave"], {}) if {
	some index, member in input.brokers
	member.production == true
	member.hasEnclave == false
}
