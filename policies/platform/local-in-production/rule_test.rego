package qnsp.rules_test.platform["local-in-production"]

import data.qnsp.rules.platform["local-in-production"] as rule

good := {"type": "aws", "simulated": false, "production": true}

world(member) := {"now": 1000, "environment": "production", "platforms": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_simulated if {
	member := object.union(good, {"simulated": true, "type": "local"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_in_development if {
	member := object.union(good, {"simulated": true, "type": "local", "production": false})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
