package qnsp.rules_test.crypto["classical-key-agreement"]

import data.qnsp.rules.crypto["classical-key-agreement"] as rule

good := {"address": "Endpoint/e", "path": ["spec", "x"], "algorithm": "X25519MLKEM768", "hybrid": true, "postQuantum": true, "transport": true, "tenant": "Tenant/t", "tier": "CryptoTier/c", "hybridRule": "required", "choices": ["X25519MLKEM768"]}

world(member) := {"now": 1000, "environment": "production", "keyExchanges": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_classical_group if {
	member := object.union(good, {"postQuantum": false})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
