# METADATA
# title: "Key that a KMS hands out in a classical envelope"
# description: >-
#   A KMS releases a key to an attested recipient in a CMS envelope whose key transport is RSA-OAEP. Who
#   records that envelope today and has a quantum computer later has the key. A tier that asks for
#   post-quantum or hybrid key agreement everywhere refuses this path; one that merely allows hybrids does not.
# custom:
#   severity: high
#   population: keys
#   message: >-
#     {name} would be handed out under RSA-OAEP; tier {tier} forbids classical key agreement.
#   remediation: >-
#     Leave the key behind the broker (custody enclave), which wraps it post-quantum, or choose a tier that allows it.
#   controls:
#     - "NIST 800-53 SC-12(3)"
#     - "ISO 27001 A.8.24"
#   source: "AWS KMS API reference, RecipientInfo: KeyEncryptionAlgorithm RSAES_OAEP_SHA_256 is the only one"
package qnsp.rules.crypto["kms-envelope-is-classical"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.keys
	member.kmsEnvelope == false
}

pass contains index if {
	some index, member in input.keys
	member.kmsEnvelope == true
	admitted(input.tiers[member.tier])
}

fail contains lib.refusal(index, ["custody"], {"name": lib.text(member.name), "tier": member.tier}) if {
	some index, member in input.keys
	member.kmsEnvelope == true
	tier := input.tiers[member.tier]
	not admitted(tier)
}

admitted(tier) if tier.hybrid == "allowed"

admitted(tier) if "RSA-OAEP" in tier.kem
