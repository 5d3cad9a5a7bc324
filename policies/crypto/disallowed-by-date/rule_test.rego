package qnsp.rules_test.crypto["disallowed-by-date"]

import data.qnsp.rules.crypto["disallowed-by-date"] as rule

good := {"algorithm": "A", "purpose": "signature", "custody": "software", "experimentalUntil": 0}

tables := {"algorithms": {"A": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 5000, "disallowedFrom": 9000}, "OnTheDay": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 1000, "disallowedFrom": 1000}, "Old": {"kind": "signature", "known": true, "final": true, "stateful": false, "hybrid": false, "postQuantum": true, "deprecatedFrom": 1, "disallowedFrom": 1}}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "algorithmUses": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_on_the_first_day if {
	member := object.union(good, {"algorithm": "OnTheDay"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_long_after if {
	member := object.union(good, {"algorithm": "Old"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
