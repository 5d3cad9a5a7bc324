# METADATA
# title: "Alternative that admits a guest that can be migrated"
# description: >-
#   A migration agent holds the guest's memory in clear on the way; whoever controls it controls the
#   guest.
# custom:
#   severity: high
#   population: alternatives
#   message: >-
#     This alternative admits migration.
#   remediation: >-
#     Set `policy.migrate: false`.
#   controls:
#     - "NIST 800-53 SC-39"
package qnsp.rules.attestation["migration-allowed"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.alternatives
	member.migrate == false
}

fail contains lib.refusal(index, ["policy"], {}) if {
	some index, member in input.alternatives
	member.migrate == true
}
