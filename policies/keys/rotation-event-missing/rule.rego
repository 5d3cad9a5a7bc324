# METADATA
# title: "Key that must change with every version does not"
# description: >-
#   A model version without a new key would open with the key of the version before; a session key that
#   outlives its connection links what should be apart.
# custom:
#   severity: high
#   population: keys
#   message: >-
#     Key {name} must be rotated {needed} under {tier}, but is rotated {event}.
#   remediation: >-
#     Set `rotation: {needed}`.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "ISO 27001 A.8.24"
#   source: "HIP-5: model keys per version"
package qnsp.rules.keys["rotation-event-missing"]

import data.qnsp.lib

needed(member) := lib.text(input.tiers[member.tier].event[member.keyClass])

event_text("") := "after a time"

event_text(event) := event if event != ""

pass contains index if {
	some index, member in input.keys
	needed(member) == ""
	lib.text(member.event)
}

pass contains index if {
	some index, member in input.keys
	needed(member) != ""
	lib.text(member.event) == needed(member)
}

fail contains lib.refusal(index, ["rotation"], {"name": lib.text(member.name), "needed": wanted, "event": event_text(member.event), "tier": member.tier}) if {
	some index, member in input.keys
	wanted := needed(member)
	wanted != ""
	lib.text(member.event) != wanted
}
