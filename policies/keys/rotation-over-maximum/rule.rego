# METADATA
# title: "Key lives longer than its tier allows"
# description: >-
#   Each tier has a longest life for root, model, data, API and session keys: HIP-5 says roots yearly,
#   API keys monthly, sessions per connection. A key that follows an event is judged by keys/rotation-
#   event-missing.
# custom:
#   severity: high
#   population: keys
#   message: >-
#     Key {name} is rotated after {rotation} s, but {tier} allows {maximum} s for a {keyClass} key.
#   remediation: >-
#     Shorten the rotation to at most {maximum} s.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "PCI DSS 4.0.1 3.7.4"
#     - "ISO 27001 A.8.24"
#   source: "HIP-5, key rotation"
package qnsp.rules.keys["rotation-over-maximum"]

import data.qnsp.lib

longest(member) := lib.number(input.tiers[member.tier].maximum[member.keyClass])

pass contains index if {
	some index, member in input.keys
	lib.number(member.rotation) <= longest(member)
}

fail contains lib.refusal(index, ["rotation"], {"name": lib.text(member.name), "rotation": member.rotation, "maximum": maximum, "tier": member.tier, "keyClass": member.keyClass}) if {
	some index, member in input.keys
	maximum := longest(member)
	lib.number(member.rotation) > maximum
}
