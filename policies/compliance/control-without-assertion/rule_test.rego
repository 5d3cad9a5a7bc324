package qnsp.rules_test.compliance["control-without-assertion"]

import data.qnsp.rules.compliance["control-without-assertion"] as rule

good := {"framework": "Framework/iso", "control": "A.8.24", "controlKnown": true, "otherEdition": "", "unknownAssertions": [], "assertions": 1, "responsibility": "tool", "notApplicable": false}

world(member) := {"now": 1000, "environment": "production", "controls": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_nothing if {
	member := object.union(good, {"assertions": 0})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_the_customers_own if {
	member := object.union(good, {"assertions": 0, "responsibility": "customer"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_what_does_not_apply if {
	member := object.union(good, {"assertions": 0, "notApplicable": true})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
