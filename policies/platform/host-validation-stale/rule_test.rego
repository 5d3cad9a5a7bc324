package qnsp.rules_test.platform["host-validation-stale"]

import data.qnsp.rules.platform["host-validation-stale"] as rule

good := {"used": true, "verdict": "passed", "at": 900, "maximumAge": 86400, "active": true, "confidential": true}

world(member) := {"now": 1000, "environment": "production", "hosts": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_an_old_report if {
	member := object.union(good, {"maximumAge": 50})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_a_spare if {
	member := object.union(good, {"used": false, "maximumAge": 1})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_what_another_rule_refuses if {
	member := object.union(good, {"verdict": "failed", "maximumAge": 1})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
