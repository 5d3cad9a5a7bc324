package qnsp.rules_test.tenancy["identity-without-role"]

import data.qnsp.rules.tenancy["identity-without-role"] as rule

good := {"identity": "alice", "required": "tenant-owner"}

tables := {"roles": {"alice": ["tenant-owner"], "bob": ["operator"], "nobody": []}}

world(member) := object.union(tables, {"now": 1000, "environment": "production", "identityReferences": [member]})

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_wrong_role if {
	member := object.union(good, {"identity": "bob"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_no_role_at_all if {
	member := object.union(good, {"identity": "nobody"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
