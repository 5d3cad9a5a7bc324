package qnsp.rules_test.endpoints["plaintext-in-development"]

import data.qnsp.rules.endpoints["plaintext-in-development"] as rule

good := {"production": false, "enclave": "Enclave/e", "tenants": ["Tenant/t"], "enclaveTenants": ["Tenant/t"], "receipts": true, "model": "Artefact/m", "modelType": "model", "modelTenant": "Tenant/t", "modelSealed": true, "modelGranted": true, "plaintext": false, "authenticated": true, "auditOff": false}

world(member) := {"now": 1000, "environment": "development", "endpoints": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_tells_plain_text if {
	member := object.union(good, {"plaintext": true})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_leaves_production_to_its_own_rule if {
	member := object.union(good, {"plaintext": true, "production": true})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
