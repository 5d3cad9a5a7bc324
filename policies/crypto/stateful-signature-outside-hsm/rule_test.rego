package qnsp.rules_test.crypto["stateful-signature-outside-hsm"]

import data.qnsp.rules.crypto["stateful-signature-outside-hsm"] as rule

good := {"algorithm": "A", "purpose": "signature", "custody": "software", "experimentalUntil": 0}

tables := {"algorithms": {"A": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "Stateful": {"kind": "signature", "known": true, "final": true, "stateful": true, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "algorithmUses": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_stateful_key_in_software if {
	member := object.union(good, {"algorithm": "Stateful"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_stateful_key_in_an_hsm if {
	member := object.union(good, {"algorithm": "Stateful", "custody": "hsm"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
