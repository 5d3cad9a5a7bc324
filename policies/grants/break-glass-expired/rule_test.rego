package qnsp.rules_test.grants["break-glass-expired"]

import data.qnsp.rules.grants["break-glass-expired"] as rule

good := {"holders": 3, "threshold": 2, "expires": 2000, "wildcards": []}

world(member) := {"now": 1000, "environment": "production", "breakGlasses": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_expired if {
	member := object.union(good, {"expires": 999})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
