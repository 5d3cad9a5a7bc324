package qnsp.rules_test.tenancy["audit-retention-short"]

import data.qnsp.rules.tenancy["audit-retention-short"] as rule

good := {"tier": "CryptoTier/c", "teeIo": false, "unavailable": "", "acknowledge": "", "auditRetention": 15552000, "hasQuota": true, "production": true}

world(member) := {"now": 1000, "environment": "production", "tenants": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_thirty_days if {
	member := object.union(good, {"auditRetention": 2592000})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
