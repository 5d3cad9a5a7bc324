# METADATA
# title: "Enclave launched in debug mode"
# description: >-
#   The host can read the memory of a guest in debug mode.
# custom:
#   severity: critical
#   population: enclaves
#   message: >-
#     This enclave is launched with debug on.
#   remediation: >-
#     Set `debug: false`.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "ISO 27001 A.8.12"
package qnsp.rules.attestation["debug-on"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	member.debug == false
}

fail contains lib.refusal(index, ["spec", "debug"], {}) if {
	some index, member in input.enclaves
	member.debug == true
}
