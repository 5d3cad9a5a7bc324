# METADATA
# title: "Host without a TEE in use"
# description: >-
#   A host in TEE mode `none` starts ordinary VMs, whose memory its administrators read.
# custom:
#   severity: high
#   population: hosts
#   message: >-
#     This host has TEE mode none.
#   remediation: >-
#     Switch SEV-SNP or TDX on in its firmware, or take it out of the platform.
#   controls:
#     - "NIST 800-53 SC-39"
package qnsp.rules.platform["host-not-confidential"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.hosts
	member.used == false
}

pass contains index if {
	some index, member in input.hosts
	member.used == true
	member.confidential == true
}

fail contains lib.refusal(index, ["spec", "teeMode"], {}) if {
	some index, member in input.hosts
	member.used == true
	member.confidential == false
}
