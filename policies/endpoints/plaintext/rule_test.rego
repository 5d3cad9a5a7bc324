package qnsp.rules_test.endpoints.plaintext

import data.qnsp.rules.endpoints.plaintext as rule

good := {"production": true, "enclave": "Enclave/e", "tenants": ["Tenant/t"], "enclaveTenants": ["Tenant/t"], "receipts": true, "model": "Artefact/m", "modelType": "model", "modelTenant": "Tenant/t", "modelSealed": true, "modelGranted": true, "plaintext": false, "authenticated": true, "auditOff": false}

world(member) := {"now": 1000, "environment": "production", "endpoints": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_plain_text if {
	member := object.union(good, {"plaintext": true})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_in_development if {
	member := object.union(good, {"plaintext": true, "production": false})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
