package qnsp.rules_test.trust["threshold-unreachable"]

import data.qnsp.rules.trust["threshold-unreachable"] as rule

good := {"production": true, "threshold": 1, "approvers": ["bob"], "authors": ["alice"], "security": ["bob"], "simulatedAnchors": 0}

world(member) := {"now": 1000, "environment": "production", "trustRoots": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_two_of_one if {
	member := object.union(good, {"threshold": 2})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
