package qnsp.rules_test.grants["consent-not-signed"]

import data.qnsp.rules.grants["consent-not-signed"] as rule

good := {"resource": "t/model/m", "wildcard": false, "tenant": "Tenant/t", "owners": ["alice"], "consenting": ["alice"], "signed": ["alice"], "ownersNeeded": 1, "enclave": "Enclave/e", "enclaveTenants": ["Tenant/t"], "brokerServes": true, "broker": "KeyBroker/b"}

world(member) := {"now": 1000, "environment": "production", "grantResources": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_nobody_signed if {
	member := object.union(good, {"signed": []})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
