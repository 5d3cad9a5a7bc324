# METADATA
# title: "Broker's store opened by a classical envelope"
# description: >-
#   A broker that opens its store by an attested KMS is handed the store's key in an RSA-OAEP envelope:
#   whoever records it can open every key of every tenant once RSA falls. Tiers that ask for
#   post-quantum or hybrid key agreement everywhere refuse it.
# custom:
#   severity: high
#   population: brokers
#   message: >-
#     This broker's store is opened by RSA-OAEP, which the tiers of {tenants} forbid.
#   remediation: >-
#     Unseal by shares or by a peer, or serve these tenants by another broker.
#   controls:
#     - "NIST 800-53 SC-12(3)"
#     - "ISO 27001 A.8.24"
package qnsp.rules.keys["broker-unsealing-classical"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.brokers
	member.classicalFor == []
}

fail contains lib.refusal(index, ["spec", "unsealing", "method"], {"tenants": tenants}) if {
	some index, member in input.brokers
	tenants := lib.texts(member.classicalFor)
	count(tenants) > 0
}
