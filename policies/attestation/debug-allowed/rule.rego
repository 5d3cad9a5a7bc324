# METADATA
# title: "Alternative that admits a guest in debug mode"
# description: >-
#   A guest in debug mode can be read by its host: its evidence is genuine and worth nothing.
# custom:
#   severity: critical
#   population: alternatives
#   message: >-
#     This alternative admits debug mode.
#   remediation: >-
#     Set `policy.debug: false`.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "ISO 27001 A.8.12"
package qnsp.rules.attestation["debug-allowed"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.alternatives
	member.debug == false
}

fail contains lib.refusal(index, ["policy"], {}) if {
	some index, member in input.alternatives
	member.debug == true
}
