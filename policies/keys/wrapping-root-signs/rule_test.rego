package qnsp.rules_test.keys["wrapping-root-signs"]

import data.qnsp.rules.keys["wrapping-root-signs"] as rule

good := {"name": "model/m", "keyClass": "root", "role": "signing-root", "algorithm": "A", "tier": "CryptoTier/c", "custody": "software", "custodyRank": 0, "rotation": 100, "event": ""}

tables := {"algorithms": {"A": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "Kem": {"kind": "kem", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "keys": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_wrapping_root_that_signs if {
	member := object.union(good, {"role": "wrapping-root"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_a_signing_root_that_wraps if {
	member := object.union(good, {"algorithm": "Kem"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_wrapping_root if {
	member := object.union(good, {"role": "wrapping-root", "algorithm": "Kem"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_other_keys if {
	member := object.union(good, {"keyClass": "model", "role": "model"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
