package qnsp.rules_test.crypto["experimental-without-expiry"]

import data.qnsp.rules.crypto["experimental-without-expiry"] as rule

good := {"algorithm": "A", "purpose": "signature", "custody": "software", "experimentalUntil": 0}

tables := {"algorithms": {"A": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "Experimental": {"kind": "signature", "known": true, "final": false, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "algorithmUses": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_an_experimental_algorithm if {
	member := object.union(good, {"algorithm": "Experimental"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_an_entry_that_has_run_out if {
	member := object.union(good, {"algorithm": "Experimental", "experimentalUntil": 999})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_until_the_last_second if {
	member := object.union(good, {"algorithm": "Experimental", "experimentalUntil": 1000})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
