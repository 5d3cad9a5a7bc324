package qnsp.rules_test.keys["owner-threshold-unreachable"]

import data.qnsp.rules.keys["owner-threshold-unreachable"] as rule

good := {"tenant": "Tenant/t", "ownerThreshold": 1, "owners": 2, "hasRecovery": true, "custodians": 3, "recoveryThreshold": 2, "sites": 2, "lastDrill": 900, "production": true}

world(member) := {"now": 1000, "environment": "production", "hierarchies": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_three_of_two if {
	member := object.union(good, {"ownerThreshold": 3})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_none_of_two if {
	member := object.union(good, {"ownerThreshold": 0})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
