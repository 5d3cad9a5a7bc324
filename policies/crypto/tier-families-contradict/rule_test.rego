package qnsp.rules_test.crypto["tier-families-contradict"]

import data.qnsp.rules.crypto["tier-families-contradict"] as rule

good := {"tier": "CryptoTier/hip5-tier-3", "rival": "CryptoTier/lp4100-tier-3", "rivalTenants": [], "reason": "two tables"}

world(member) := {"now": 1000, "environment": "production", "tierRivalries": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_tenant_of_the_rival if {
	member := object.union(good, {"rivalTenants": ["Tenant/b"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
