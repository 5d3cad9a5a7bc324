package qnsp.rules_test.keys["no-recovery"]

import data.qnsp.rules.keys["no-recovery"] as rule

good := {"tenant": "Tenant/t", "hasRecovery": true, "custodians": 3, "recoveryThreshold": 2, "sites": 2, "lastDrill": 900, "production": true}

world(member) := {"now": 1000, "environment": "production", "hierarchies": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_no_recovery if {
	member := object.union(good, {"hasRecovery": false})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_one_custodian_decides if {
	member := object.union(good, {"recoveryThreshold": 1})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_more_than_there_are if {
	member := object.union(good, {"recoveryThreshold": 4})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_one_site if {
	member := object.union(good, {"sites": 1})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_no_drill_for_a_year if {
	member := object.union(good, {"lastDrill": -31536001})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_in_development if {
	member := object.union(good, {"production": false, "hasRecovery": false})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
