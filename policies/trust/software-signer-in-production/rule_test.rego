package qnsp.rules_test.trust["software-signer-in-production"]

import data.qnsp.rules.trust["software-signer-in-production"] as rule

good := {"identity": "alice", "roles": ["author"], "type": "ssh", "expires": 100000000, "postQuantum": true, "production": true, "weighty": true}

world(member) := {"now": 1000, "environment": "production", "signers": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_software if {
	member := object.union(good, {"type": "software"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_in_development if {
	member := object.union(good, {"type": "software", "production": false})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_an_auditor if {
	member := object.union(good, {"weighty": false, "type": "software"})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
