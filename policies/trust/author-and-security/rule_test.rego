package qnsp.rules_test.trust["author-and-security"]

import data.qnsp.rules.trust["author-and-security"] as rule

good := {"identity": "alice", "roles": ["author"], "signers": 1}

world(member) := {"now": 1000, "environment": "production", "identities": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_both if {
	member := object.union(good, {"roles": ["author", "security"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
