package qnsp.rules_test.attestation["attester-mismatch"]

import data.qnsp.rules.attestation["attester-mismatch"] as rule

good := {"production": true, "platform": "Platform/p", "platformType": "bare-metal", "simulated": false, "attester": "sev-snp", "offered": ["sev-snp", "tdx"], "assurance": "hardware-tee", "requiredAssurance": ["hardware-tee"], "debug": false, "openings": [], "tenants": ["Tenant/t"], "sharing": "exclusive", "consents": ["Tenant/t"], "referenceAttester": "sev-snp", "imageType": "image", "imageDigestMatches": true, "imageKnown": true, "gpus": 0, "gpuModel": "", "gpuMode": "off", "gpuAttesters": ["sev-snp", "tdx"], "gpuRequired": false, "devices": 0, "regions": ["eu"], "tenantRegions": ["eu"], "attestersAllowed": []}

world(member) := {"now": 1000, "environment": "production", "enclaves": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_values_of_tdx if {
	member := object.union(good, {"referenceAttester": "tdx"})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
