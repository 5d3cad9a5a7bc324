package qnsp.rules_test.tenancy["artefact-key-of-other-tenant"]

import data.qnsp.rules.tenancy["artefact-key-of-other-tenant"] as rule

good := {"type": "model", "tenant": "Tenant/t", "hasTenant": true, "public": false, "encrypted": true, "mustEncrypt": true, "keyTenant": "Tenant/t", "tierAtRest": false, "publisher": "lab", "signers": ["lab"], "publisherSigners": ["lab"], "lineage": 1, "key": "t/model/m", "plaintextDigest": true}

world(member) := {"now": 1000, "environment": "production", "artefacts": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_foreign_key if {
	member := object.union(good, {"keyTenant": "Tenant/u"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_in_clear if {
	member := object.union(good, {"encrypted": false, "keyTenant": ""})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_passes_without_tenant if {
	member := object.union(good, {"hasTenant": false, "tenant": ""})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
