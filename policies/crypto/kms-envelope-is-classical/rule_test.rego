package qnsp.rules_test.crypto["kms-envelope-is-classical"]

import data.qnsp.rules.crypto["kms-envelope-is-classical"] as rule

good := {"name": "data/records", "kmsEnvelope": false, "keyClass": "data", "role": "data", "algorithm": "AES-256-GCM", "tier": "t", "custody": "enclave", "custodyRank": 2, "rotation": 100, "event": ""}

tier := {"signature": [], "kem": ["ML-KEM-768"], "aead": [], "hash": [], "tls": [], "hybrid": "required", "custody": "software", "custodyRank": 0, "maximum": {}, "event": {}}

world(member, changes) := {"now": 1000, "environment": "production", "tiers": {"t": object.union(tier, changes)}, "keys": [member]}

kept := object.union(good, {"kmsEnvelope": true, "custody": "kms"})

test_passes_a_key_behind_the_broker if {
	rule.pass == {0} with input as world(good, {})
	rule.fail == set() with input as world(good, {})
}

test_refuses_a_key_of_kms if {
	some hybrid in ["required", "forbidden", "transport-only"]
	rule.pass == set() with input as world(kept, {"hybrid": hybrid})
	{refusal.index | some refusal in rule.fail} == {0} with input as world(kept, {"hybrid": hybrid})
}

test_passes_where_the_tier_allows_it if {
	rule.pass == {0} with input as world(kept, {"hybrid": "allowed"})
	rule.fail == set() with input as world(kept, {"hybrid": "allowed"})
}

test_passes_where_the_tier_names_it if {
	rule.pass == {0} with input as world(kept, {"kem": ["RSA-OAEP"]})
	rule.fail == set() with input as world(kept, {"kem": ["RSA-OAEP"]})
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({}, {})
	rule.fail == set() with input as world({}, {})
}
