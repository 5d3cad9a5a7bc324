package qnsp.rules_test.crypto["hybrid-forbidden"]

import data.qnsp.rules.crypto["hybrid-forbidden"] as rule

good := {"algorithm": "PostQuantum", "purpose": "tls", "tenant": "Tenant/t", "tier": "CryptoTier/forbidden"}

tables := {"algorithms": {"Hybrid": {"kind": "tls", "known": true, "final": true, "stateful": false, "hybrid": true, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "PostQuantum": {"kind": "tls", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}}, "tiers": {"CryptoTier/c": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}, "CryptoTier/forbidden": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "forbidden", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}, "CryptoTier/transport": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "transport-only", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "keyExchanges": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_hybrid if {
	member := object.union(good, {"algorithm": "Hybrid"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_a_hybrid_that_wraps if {
	member := object.union(good, {"algorithm": "Hybrid", "purpose": "kem", "tier": "CryptoTier/transport"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_declared_transport if {
	member := object.union(good, {"algorithm": "Hybrid", "tier": "CryptoTier/transport"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_where_hybrid_is_allowed if {
	member := object.union(good, {"algorithm": "Hybrid", "tier": "CryptoTier/c"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
