package qnsp.rules_test.tenancy["api-key-expired"]

import data.qnsp.rules.tenancy["api-key-expired"] as rule

good := {"name": "app", "expires": 2000}

world(member) := {"now": 1000, "environment": "production", "apiKeys": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_an_expired_key if {
	member := object.union(good, {"expires": 999})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_on_its_last_second if {
	member := object.union(good, {"expires": 1000})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
