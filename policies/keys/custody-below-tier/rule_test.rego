package qnsp.rules_test.keys["custody-below-tier"]

import data.qnsp.rules.keys["custody-below-tier"] as rule

good := {"name": "model/m", "keyClass": "root", "role": "signing-root", "algorithm": "A", "tier": "CryptoTier/c", "custody": "software", "custodyRank": 0, "rotation": 100, "event": ""}

tables := {"tiers": {"CryptoTier/c": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "allowed", "custody": "software", "custodyRank": 0, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}, "CryptoTier/hsm": {"signature": ["A", "B"], "kem": ["A", "B"], "aead": ["A", "B"], "hash": ["A", "B"], "tls": ["A", "B"], "hybrid": "allowed", "custody": "hsm", "custodyRank": 4, "maximum": {"root": 100, "model": 100, "other": 1000000}, "event": {"model": "", "other": ""}}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "keys": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_software_where_hsm_is_asked if {
	member := object.union(good, {"tier": "CryptoTier/hsm"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_stronger_place if {
	member := object.union(good, {"custody": "hsm", "custodyRank": 4})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_what_is_no_root if {
	member := object.union(good, {"keyClass": "model", "tier": "CryptoTier/hsm"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
