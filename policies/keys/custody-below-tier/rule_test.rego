package qnsp.rules_test.keys["custody-below-tier"]

import data.qnsp.rules.keys["custody-below-tier"] as rule

good := {"address": "KeyHierarchy/k", "path": ["spec", "keys", 0], "name": "model/m", "role": "model", "algorithm": "AES-256-GCM", "kind": "aead", "tenant": "Tenant/t", "tier": "CryptoTier/c", "custody": "software", "custodyRank": 0, "requiredCustody": "software", "requiredCustodyRank": 0, "rotation": 100, "rotationEvent": "", "maximum": 100, "requiredEvent": ""}

world(member) := {"now": 1000, "environment": "production", "keys": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_software_where_hsm_is_asked if {
	member := object.union(good, {"requiredCustody": "hsm", "requiredCustodyRank": 4})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_stronger_place if {
	member := object.union(good, {"custody": "hsm", "custodyRank": 4})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
