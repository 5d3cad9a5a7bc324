package qnsp.rules_test.attestation["grace-open-too-long"]

import data.qnsp.rules.attestation["grace-open-too-long"] as rule

good := {"until": 2000}

world(member) := {"now": 1000, "environment": "production", "graces": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_year if {
	member := object.union(good, {"until": 31536000})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_an_ended_grace if {
	member := object.union(good, {"until": 999})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
