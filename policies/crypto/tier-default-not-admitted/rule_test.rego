package qnsp.rules_test.crypto["tier-default-not-admitted"]

import data.qnsp.rules.crypto["tier-default-not-admitted"] as rule

good := {"tier": "CryptoTier/c", "purpose": "kem", "admitted": ["A", "B"], "default": "A", "hasDefault": true, "unsettled": [], "acknowledged": []}

world(member) := {"now": 1000, "environment": "production", "tierSets": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_default_outside_the_set if {
	member := object.union(good, {"default": "Z"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_set_without_default if {
	member := object.union(good, {"hasDefault": false, "default": ""})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
