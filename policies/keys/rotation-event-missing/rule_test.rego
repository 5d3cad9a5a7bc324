package qnsp.rules_test.keys["rotation-event-missing"]

import data.qnsp.rules.keys["rotation-event-missing"] as rule

good := {"name": "model/m", "keyClass": "model", "role": "model", "algorithm": "A", "tier": "CryptoTier/versioned", "custody": "software", "custodyRank": 0, "rotation": 100, "event": "per-version"}

tables := {"tiers": {"CryptoTier/versioned": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 1000000}, "event": {"model": "per-version", "other": ""}}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "keys": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_length_where_an_event_is_needed if {
	member := object.union(good, {"event": ""})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_another_event if {
	member := object.union(good, {"event": "per-connection"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_class_that_needs_none if {
	member := object.union(good, {"keyClass": "other", "event": ""})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
