# METADATA
# title: "Quarantined host in use"
# description: >-
#   A bad host is quarantined alone; a platform that still lists it would place guests there.
# custom:
#   severity: high
#   population: hosts
#   message: >-
#     This host is quarantined and a platform uses it.
#   remediation: >-
#     Take it out of the platform's `hosts`.
#   controls:
#     - "NIST 800-53 CM-6"
#     - "NIST 800-53 IR-4"
#   source: "DM-11"
package qnsp.rules.platform["host-quarantined"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.hosts
	member.used == false
}

pass contains index if {
	some index, member in input.hosts
	member.used == true
	member.active == true
}

fail contains lib.refusal(index, ["spec", "state"], {}) if {
	some index, member in input.hosts
	member.used == true
	member.active == false
}
