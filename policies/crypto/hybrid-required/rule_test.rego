package qnsp.rules_test.crypto["hybrid-required"]

import data.qnsp.rules.crypto["hybrid-required"] as rule

good := {"address": "Endpoint/e", "path": ["spec", "x"], "algorithm": "X25519MLKEM768", "hybrid": true, "postQuantum": true, "transport": true, "tenant": "Tenant/t", "tier": "CryptoTier/c", "hybridRule": "required", "choices": ["X25519MLKEM768"]}

world(member) := {"now": 1000, "environment": "production", "keyExchanges": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_group_of_one_kind if {
	member := object.union(good, {"hybrid": false})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_where_hybrid_is_only_allowed if {
	member := object.union(good, {"hybrid": false, "hybridRule": "allowed"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
