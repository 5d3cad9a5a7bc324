package qnsp.rules_test.platform["passphrase-state-in-production"]

import data.qnsp.rules.platform["passphrase-state-in-production"] as rule

good := {"production": true, "backendScheme": "s3", "stateEncryption": "awskms", "failOn": "high", "approvals": 1, "weakenApprovals": 1, "weakenRole": "security", "planLifetime": 3600}

world(member) := {"now": 1000, "environment": "production", "projects": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_passphrase if {
	member := object.union(good, {"stateEncryption": "passphrase"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_in_development if {
	member := object.union(good, {"stateEncryption": "passphrase", "production": false})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
