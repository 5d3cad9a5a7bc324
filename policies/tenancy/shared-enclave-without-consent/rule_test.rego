package qnsp.rules_test.tenancy["shared-enclave-without-consent"]

import data.qnsp.rules.tenancy["shared-enclave-without-consent"] as rule

good := {"production": true, "platform": "Platform/p", "platformType": "bare-metal", "simulated": false, "attester": "sev-snp", "offered": ["sev-snp", "tdx"], "assurance": "hardware-tee", "requiredAssurance": ["hardware-tee"], "debug": false, "openings": [], "tenants": ["Tenant/t"], "sharing": "exclusive", "consents": ["Tenant/t"], "referenceAttester": "sev-snp", "imageType": "image", "imageDigestMatches": true, "imageKnown": true, "gpus": 0, "gpuModel": "", "gpuMode": "off", "gpuAttesters": ["sev-snp", "tdx"], "gpuRequired": false, "devices": 0, "regions": ["eu"], "tenantRegions": ["eu"], "attestersAllowed": []}

world(member) := {"now": 1000, "environment": "production", "enclaves": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_one_did_not_sign if {
	member := object.union(good, {"sharing": "shared", "tenants": ["Tenant/t", "Tenant/u"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_passes_when_all_signed if {
	member := object.union(good, {"sharing": "shared", "tenants": ["Tenant/t", "Tenant/u"], "consents": ["Tenant/t", "Tenant/u"]})
	rule.pass == {0} with input as world(member)
	rule.fail == set() with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
