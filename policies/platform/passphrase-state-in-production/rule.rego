# METADATA
# title: "State encrypted by a passphrase in production"
# description: >-
#   A passphrase is copied by whoever runs the engine and cannot be withdrawn.
# custom:
#   severity: medium
#   population: projects
#   message: >-
#     State is encrypted by {stateEncryption}.
#   remediation: >-
#     Use a KMS secrets provider.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "PCI DSS 4.0.1 3.6.1"
package qnsp.rules.platform["passphrase-state-in-production"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.projects
	member.production == false
}

pass contains index if {
	some index, member in input.projects
	member.production == true
	lib.text(member.stateEncryption) != "passphrase"
}

fail contains lib.refusal(index, ["spec", "backend", "encryption"], {"stateEncryption": member.stateEncryption}) if {
	some index, member in input.projects
	member.production == true
	lib.text(member.stateEncryption) == "passphrase"
}
