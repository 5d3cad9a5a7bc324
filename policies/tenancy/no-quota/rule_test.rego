package qnsp.rules_test.tenancy["no-quota"]

import data.qnsp.rules.tenancy["no-quota"] as rule

good := {"tier": "CryptoTier/c", "teeIo": false, "unavailable": "", "acknowledge": "", "auditRetention": 15552000, "hasQuota": true, "production": true}

world(member) := {"now": 1000, "environment": "production", "tenants": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_no_quota if {
	member := object.union(good, {"hasQuota": false})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_in_development if {
	member := object.union(good, {"hasQuota": false, "production": false})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
