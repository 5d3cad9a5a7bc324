# METADATA
# title: "One key path for two tenants"
# description: >-
#   A path that two hierarchies claim is one key for two tenants: each could open what is the other's.
# custom:
#   severity: critical
#   population: keyPaths
#   message: >-
#     {resource} is claimed by {claimants}.
#   remediation: >-
#     Give each tenant a path of its own.
#   controls:
#     - "ISO 27001 A.8.22"
#     - "NIST 800-53 SC-4"
#     - "SOC 2 CC6.1"
package qnsp.rules.keys["path-shared"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.keyPaths
	count(lib.texts(member.claimants)) == 1
}

fail contains lib.refusal(index, [], {"resource": lib.text(member.resource), "claimants": member.claimants}) if {
	some index, member in input.keyPaths
	count(lib.texts(member.claimants)) != 1
}
