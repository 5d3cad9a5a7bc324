package qnsp.rules_test.keys["wrapping-root-signs"]

import data.qnsp.rules.keys["wrapping-root-signs"] as rule

good := {"address": "KeyHierarchy/k", "path": ["spec", "keys", 0], "name": "model/m", "role": "wrapping-root", "algorithm": "AES-256-GCM", "kind": "kem", "tenant": "Tenant/t", "tier": "CryptoTier/c", "custody": "software", "custodyRank": 0, "requiredCustody": "software", "requiredCustodyRank": 0, "rotation": 100, "rotationEvent": "", "maximum": 100, "requiredEvent": ""}

world(member) := {"now": 1000, "environment": "production", "keys": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_wrapping_root_that_signs if {
	member := object.union(good, {"kind": "signature"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_a_signing_root_that_wraps if {
	member := object.union(good, {"role": "signing-root"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_signing_root if {
	member := object.union(good, {"role": "signing-root", "kind": "signature"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_other_keys if {
	member := object.union(good, {"role": "model", "kind": "aead"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
