package qnsp.rules_test.keys["broker-unsealing-classical"]

import data.qnsp.rules.keys["broker-unsealing-classical"] as rule

good := {"production": true, "classicalFor": [], "mode": "strict", "unsealing": "attested-kms", "insecureUnsealing": false, "hasEnclave": true, "embeddedStorage": false, "plaintext": false, "replicas": 3, "adminKeys": 1}

world(member) := {"now": 1000, "environment": "production", "brokers": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_tenants_of_stricter_tiers if {
	member := object.union(good, {"classicalFor": ["Tenant/clinic"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
