package qnsp.rules_test.attestation["measurement-gap"]

import data.qnsp.rules.attestation["measurement-gap"] as rule

good := {"state": "active", "expires": 10000000, "users": ["Enclave/e"], "production": true, "learnt": false, "covered": ["cmdline", "firmware", "initdata", "initrd", "kernel", "rootfs", "workload"], "required": ["firmware", "kernel"], "builders": ["lab"], "publisherSigners": ["lab"], "approverSigners": []}

world(member) := {"now": 1000, "environment": "production", "referenceValues": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_no_kernel if {
	member := object.union(good, {"covered": ["firmware"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_refuses_nothing if {
	member := object.union(good, {"covered": []})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
