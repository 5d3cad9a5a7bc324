package qnsp.rules_test["supply-chain"]["model-without-lineage"]

import data.qnsp.rules["supply-chain"]["model-without-lineage"] as rule

good := {"type": "model", "tenant": "Tenant/t", "hasTenant": true, "public": false, "encrypted": true, "mustEncrypt": true, "keyTenant": "Tenant/t", "tierAtRest": false, "publisher": "lab", "signers": ["lab"], "publisherSigners": ["lab"], "lineage": 1, "key": "t/model/m", "plaintextDigest": true}

world(member) := {"now": 1000, "environment": "production", "artefacts": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_no_lineage if {
	member := object.union(good, {"lineage": 0})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_an_image if {
	member := object.union(good, {"type": "image", "lineage": 0})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
