# METADATA
# title: "Replicas that do not share a store"
# description: >-
#   Replicas with an embedded database each hold their own revocations: a key refused by one is released
#   by the next.
# custom:
#   severity: high
#   population: brokers
#   message: >-
#     {replicas} replicas have an embedded database each.
#   remediation: >-
#     Use `postgresql://` storage, or one replica.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "SOC 2 CC6.3"
package qnsp.rules.keys["broker-replicas-without-store"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	member.embeddedStorage == false
	lib.number(member.replicas)
}

pass contains index if {
	some index, member in input.brokers
	member.embeddedStorage == true
	lib.number(member.replicas) <= 1
}

fail contains lib.refusal(index, ["spec", "storage", "url"], {"replicas": member.replicas}) if {
	some index, member in input.brokers
	member.embeddedStorage == true
	lib.number(member.replicas) > 1
}
