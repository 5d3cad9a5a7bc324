package qnsp.rules_test.keys["rotation-over-maximum"]

import data.qnsp.rules.keys["rotation-over-maximum"] as rule

good := {"name": "model/m", "keyClass": "model", "role": "model", "algorithm": "A", "tier": "CryptoTier/c", "custody": "software", "custodyRank": 0, "rotation": 100, "event": ""}

tables := {"tiers": {"CryptoTier/c": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "keys": [member]})

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

test_passes_a_class_that_the_tier_leaves_open if {
	member := object.union(good, {"keyClass": "other", "rotation": 100000})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
