# METADATA
# title: "More owners must agree than there are"
# description: >-
#   A threshold above the number of owners can never be met; below one nobody has to agree.
# custom:
#   severity: high
#   population: hierarchies
#   message: >-
#     {ownerThreshold} of {owners} owners must agree.
#   remediation: >-
#     Set `owners.threshold` between 1 and the number of owners.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "NIST 800-53 AC-3"
package qnsp.rules.keys["owner-threshold-unreachable"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.hierarchies
	lib.number(member.ownerThreshold) >= 1
	member.ownerThreshold <= lib.number(member.owners)
}

fail contains lib.refusal(index, ["spec", "owners", "threshold"], {"ownerThreshold": member.ownerThreshold, "owners": member.owners}) if {
	some index, member in input.hierarchies
	lib.number(member.ownerThreshold) < 1
	lib.number(member.owners)
}

fail contains lib.refusal(index, ["spec", "owners", "threshold"], {"ownerThreshold": member.ownerThreshold, "owners": member.owners}) if {
	some index, member in input.hierarchies
	lib.number(member.ownerThreshold) > lib.number(member.owners)
}
