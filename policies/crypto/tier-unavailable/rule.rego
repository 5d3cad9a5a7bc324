# METADATA
# title: "A tier that no platform can meet today"
# description: >-
#   A tier may say why nothing can meet it yet. A tenant of it is refused with that reason, not served
#   by something weaker.
# custom:
#   severity: high
#   population: tenants
#   message: >-
#     {tier} cannot be met today: {reason}
#   remediation: >-
#     Wait for what the tier names, or take a tier of your own whose demands are said openly and approved.
#   controls:
#     - "NIST 800-53 SC-13"
package qnsp.rules.crypto["tier-unavailable"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tenants
	lib.text(member.unavailable) == ""
}

pass contains index if {
	some index, member in input.tenants
	lib.text(member.unavailable) != ""
	member.teeIo == true
}

fail contains lib.refusal(index, ["spec", "tier"], {"tier": lib.text(member.tier), "reason": member.unavailable}) if {
	some index, member in input.tenants
	lib.text(member.unavailable) != ""
	member.teeIo == false
}
