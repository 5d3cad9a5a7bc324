package qnsp.rules_test.keys["path-shared"]

import data.qnsp.rules.keys["path-shared"] as rule

good := {"resource": "t/model/m", "claimants": ["KeyHierarchy/k"]}

world(member) := {"now": 1000, "environment": "production", "keyPaths": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_two_claimants if {
	member := object.union(good, {"claimants": ["KeyHierarchy/k", "KeyHierarchy/l"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
