package qnsp.rules_test["supply-chain"]["artefact-unsigned"]

import data.qnsp.rules["supply-chain"]["artefact-unsigned"] as rule

good := {"type": "model", "tenant": "Tenant/t", "hasTenant": true, "public": false, "encrypted": true, "mustEncrypt": true, "keyTenant": "Tenant/t", "tierAtRest": false, "publisher": "lab", "signers": ["lab"], "publisherSigners": ["lab"], "lineage": 1, "key": "t/model/m", "plaintextDigest": true}

world(member) := {"now": 1000, "environment": "production", "artefacts": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_unsigned if {
	member := object.union(good, {"signers": [], "publisherSigners": []})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
