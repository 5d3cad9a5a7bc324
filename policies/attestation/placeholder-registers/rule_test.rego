package qnsp.rules_test.attestation["placeholder-registers"]

import data.qnsp.rules.attestation["placeholder-registers"] as rule

good := {"attester": "nitro-enclave", "blank": [], "measurements": ["pcr0", "pcr1", "pcr2"], "identifying": ["pcr0"], "floors": [], "requiredFloors": [], "debug": false, "migrate": false}

world(member) := {"now": 1000, "environment": "production", "alternatives": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_blank_registers if {
	member := object.union(good, {"blank": ["pcr0", "pcr2"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
