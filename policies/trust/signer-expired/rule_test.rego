package qnsp.rules_test.trust["signer-expired"]

import data.qnsp.rules.trust["signer-expired"] as rule

good := {"identity": "alice", "roles": ["author"], "type": "ssh", "expires": 100000000, "postQuantum": true, "production": true, "weighty": true}

world(member) := {"now": 1000, "environment": "production", "signers": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_expired if {
	member := object.union(good, {"expires": 999})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_on_the_last_second if {
	member := object.union(good, {"expires": 1000})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
