package qnsp.rules_test.attestation["alternative-admits-anything"]

import data.qnsp.rules.attestation["alternative-admits-anything"] as rule

good := {"attester": "sev-snp", "measurements": ["hostData", "measurement"], "identifying": ["measurement"], "floors": ["bootloader", "microcode", "snp", "tee"], "requiredFloors": ["bootloader", "microcode", "snp", "tee"], "debug": false, "migrate": false}

world(member) := {"now": 1000, "environment": "production", "alternatives": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_only_host_data if {
	member := object.union(good, {"measurements": ["hostData"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
