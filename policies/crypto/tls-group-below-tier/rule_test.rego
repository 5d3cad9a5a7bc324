package qnsp.rules_test.crypto["tls-group-below-tier"]

import data.qnsp.rules.crypto["tls-group-below-tier"] as rule

good := {"address": "Endpoint/e", "path": ["spec", "x"], "algorithm": "A", "known": true, "tenant": "Tenant/t", "tier": "CryptoTier/c", "admitted": ["A", "B"]}

world(member) := {"now": 1000, "environment": "production", "tlsUses": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_an_algorithm_outside_the_tier if {
	member := object.union(good, {"algorithm": "C"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_everything_where_the_tier_admits_nothing if {
	member := object.union(good, {"admitted": []})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_an_admitted_name_that_nobody_knows if {
	member := object.union(good, {"known": false})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
