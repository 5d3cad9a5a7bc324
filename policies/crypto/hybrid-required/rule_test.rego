package qnsp.rules_test.crypto["hybrid-required"]

import data.qnsp.rules.crypto["hybrid-required"] as rule

good := {"algorithm": "Hybrid", "purpose": "tls", "tenant": "Tenant/t", "tier": "CryptoTier/required"}

tables := {"algorithms": {"Kem": {"kind": "kem", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "Hybrid": {"kind": "tls", "known": true, "final": true, "stateful": false, "hybrid": true, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "PostQuantum": {"kind": "tls", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}}, "tiers": {"CryptoTier/c": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}, "CryptoTier/required": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "required", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "keyExchanges": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_group_of_one_kind if {
	member := object.union(good, {"algorithm": "PostQuantum"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_where_hybrid_is_only_allowed if {
	member := object.union(good, {"algorithm": "PostQuantum", "tier": "CryptoTier/c"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_a_kem_that_wraps if {
	member := object.union(good, {"algorithm": "Kem", "purpose": "kem"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
