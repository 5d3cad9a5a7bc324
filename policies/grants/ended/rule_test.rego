package qnsp.rules_test.grants.ended

import data.qnsp.rules.grants.ended as rule

good := {"lease": 100, "leaseMaximum": 100, "tier": "CryptoTier/c", "hasEnd": true, "end": 2000, "start": 0, "opaque": false, "production": true}

world(member) := {"now": 1000, "environment": "production", "grants": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_yesterday if {
	member := object.union(good, {"end": 999})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_on_the_last_second if {
	member := object.union(good, {"end": 1000})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_without_end if {
	member := object.union(good, {"hasEnd": false, "end": 0})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
