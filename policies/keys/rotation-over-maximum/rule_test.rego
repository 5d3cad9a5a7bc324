package qnsp.rules_test.keys["rotation-over-maximum"]

import data.qnsp.rules.keys["rotation-over-maximum"] as rule

good := {"address": "KeyHierarchy/k", "path": ["spec", "keys", 0], "name": "model/m", "role": "model", "algorithm": "AES-256-GCM", "kind": "aead", "tenant": "Tenant/t", "tier": "CryptoTier/c", "custody": "software", "custodyRank": 0, "requiredCustody": "software", "requiredCustodyRank": 0, "rotation": 100, "rotationEvent": "", "maximum": 100, "requiredEvent": ""}

world(member) := {"now": 1000, "environment": "production", "keys": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_day_too_long if {
	member := object.union(good, {"rotation": 101})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_shorter_life if {
	member := object.union(good, {"rotation": 1})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
