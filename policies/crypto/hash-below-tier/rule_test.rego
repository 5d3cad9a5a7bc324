package qnsp.rules_test.crypto["hash-below-tier"]

import data.qnsp.rules.crypto["hash-below-tier"] as rule

good := {"algorithm": "A", "tenant": "Tenant/t", "tier": "CryptoTier/c"}

tables := {"algorithms": {"A": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "C": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "Unknown": {"kind": "unknown", "known": false, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}}, "tiers": {"CryptoTier/c": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}, "CryptoTier/empty": {"signature": [], "kem": [], "aead": [], "hash": [], "tls": [], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}, "CryptoTier/lax": {"signature": ["Unknown"], "kem": ["Unknown"], "aead": ["Unknown"], "hash": ["Unknown"], "tls": ["Unknown"], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "hashUses": [member]})

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
	member := object.union(good, {"tier": "CryptoTier/empty"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_an_admitted_name_that_nobody_knows if {
	member := object.union(good, {"algorithm": "Unknown", "tier": "CryptoTier/lax"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
