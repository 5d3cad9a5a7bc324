package qnsp.rules_test.waivers["approver-without-role"]

import data.qnsp.rules.waivers["approver-without-role"] as rule

good := {"rule": "crypto/x", "ruleKnown": true, "object": "Endpoint/e", "field": [], "approver": "bob", "signers": ["bob"], "mayWaive": ["bob"], "expires": 2000, "horizon": 7776000}

world(member) := {"now": 1000, "environment": "production", "waivers": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_without_role if {
	member := object.union(good, {"mayWaive": ["carol"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
