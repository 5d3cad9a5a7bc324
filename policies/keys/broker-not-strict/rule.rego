# METADATA
# title: "Key broker in compatibility mode in production"
# description: >-
#   Strict mode answers every failure with a reason code and refuses what the protocol leaves open;
#   compatibility mode is for clients that cannot do better.
# custom:
#   severity: high
#   population: brokers
#   message: >-
#     This broker runs in {mode} mode.
#   remediation: >-
#     Set `mode: strict`.
#   controls:
#     - "NIST 800-53 AC-3"
#     - "ISO 27001 A.8.9"
package qnsp.rules.keys["broker-not-strict"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	member.production == false
}

pass contains index if {
	some index, member in input.brokers
	member.production == true
	lib.text(member.mode) == "strict"
}

fail contains lib.refusal(index, ["spec", "mode"], {"mode": member.mode}) if {
	some index, member in input.brokers
	member.production == true
	lib.text(member.mode) != "strict"
}
