package qnsp.rules_test.crypto["hybrid-forbidden"]

import data.qnsp.rules.crypto["hybrid-forbidden"] as rule

good := {"address": "Endpoint/e", "path": ["spec", "x"], "algorithm": "X25519MLKEM768", "hybrid": false, "postQuantum": true, "transport": false, "tenant": "Tenant/t", "tier": "CryptoTier/c", "hybridRule": "forbidden", "choices": ["X25519MLKEM768"]}

world(member) := {"now": 1000, "environment": "production", "keyExchanges": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_hybrid if {
	member := object.union(good, {"hybrid": true})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_declared_transport if {
	member := object.union(good, {"hybrid": true, "transport": true})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_where_hybrid_is_allowed if {
	member := object.union(good, {"hybrid": true, "hybridRule": "allowed"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
