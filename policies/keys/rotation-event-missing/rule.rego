# METADATA
# title: "Key that must change with every version does not"
# description: >-
#   A model version without a new key would open with the key of the version before; a session key that
#   outlives its connection links what should be apart.
# custom:
#   severity: high
#   population: keys
#   message: >-
#     Key {name} must be rotated {requiredEvent} under {tier}, but is rotated {rotationEvent}.
#   remediation: >-
#     Set `rotation: {requiredEvent}`.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "ISO 27001 A.8.24"
#   source: "HIP-5: model keys per version"
package qnsp.rules.keys["rotation-event-missing"]

import data.qnsp.lib

event_text("") := "after a time"

event_text(event) := event if event != ""

pass contains index if {
	some index, member in input.keys
	lib.text(member.requiredEvent) == ""
}

pass contains index if {
	some index, member in input.keys
	lib.text(member.requiredEvent) != ""
	lib.text(member.rotationEvent) == member.requiredEvent
}

fail contains lib.refusal(index, array.concat(member.path, ["rotation"]), {"name": lib.text(member.name), "requiredEvent": member.requiredEvent, "rotationEvent": event_text(member.rotationEvent), "tier": lib.text(member.tier)}) if {
	some index, member in input.keys
	lib.text(member.requiredEvent) != ""
	lib.text(member.rotationEvent) != member.requiredEvent
}
