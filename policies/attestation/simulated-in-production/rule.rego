# METADATA
# title: "Simulated hardware in production"
# description: >-
#   A simulator signs whatever it is told under a key that anybody may have. It is for trying things
#   out.
# custom:
#   severity: critical
#   population: enclaves
#   message: >-
#     {platform} has simulated hardware, and this project is in production.
#   remediation: >-
#     Move the enclave to a platform with real hardware.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "NIST 800-53 SI-7"
package qnsp.rules.attestation["simulated-in-production"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	member.production == false
}

pass contains index if {
	some index, member in input.enclaves
	member.production == true
	member.simulated == false
}

fail contains lib.refusal(index, ["spec", "platform"], {"platform": lib.text(member.platform)}) if {
	some index, member in input.enclaves
	member.production == true
	member.simulated == true
}
