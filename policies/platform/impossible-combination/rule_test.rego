package qnsp.rules_test.platform["impossible-combination"]

import data.qnsp.rules.platform["impossible-combination"] as rule

good := {"combination": "x", "unmet": ["attester"], "reason": "It cannot.", "nearest": "Take another."}

world(member) := {"now": 1000, "environment": "production", "combinations": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_all_conditions_met if {
	member := object.union(good, {"unmet": []})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
