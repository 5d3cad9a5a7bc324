package qnsp.rules_test.crypto["algorithm-of-another-kind"]

import data.qnsp.rules.crypto["algorithm-of-another-kind"] as rule

good := {"algorithm": "A", "purpose": "signature", "custody": "software", "experimentalUntil": 0}

tables := {"algorithms": {"A": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "Kem": {"kind": "kem", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "Unknown": {"kind": "unknown", "known": false, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "algorithmUses": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_kem_that_should_sign if {
	member := object.union(good, {"algorithm": "Kem"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_what_another_rule_refuses if {
	member := object.union(good, {"algorithm": "Unknown"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_a_kem_in_tls if {
	member := object.union(good, {"algorithm": "Kem", "purpose": "tls"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
