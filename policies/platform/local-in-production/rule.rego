# METADATA
# title: "Local platform in production"
# description: >-
#   The local platform runs processes of one machine with simulated hardware.
# custom:
#   severity: high
#   population: platforms
#   message: >-
#     A local platform cannot carry production.
#   remediation: >-
#     Declare a platform of type aws, kubernetes, bare-metal, gcp or azure.
#   controls:
#     - "NIST 800-53 CM-6"
package qnsp.rules.platform["local-in-production"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.platforms
	member.production == false
}

pass contains index if {
	some index, member in input.platforms
	member.production == true
	member.simulated == false
}

fail contains lib.refusal(index, ["spec", "type"], {}) if {
	some index, member in input.platforms
	member.production == true
	member.simulated == true
}
