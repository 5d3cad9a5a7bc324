package qnsp.rules_test.platform["host-not-confidential"]

import data.qnsp.rules.platform["host-not-confidential"] as rule

good := {"used": true, "verdict": "passed", "at": 900, "maximumAge": 86400, "active": true, "confidential": true}

world(member) := {"now": 1000, "environment": "production", "hosts": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_no_tee if {
	member := object.union(good, {"confidential": false})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_spare if {
	member := object.union(good, {"used": false, "confidential": false})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
