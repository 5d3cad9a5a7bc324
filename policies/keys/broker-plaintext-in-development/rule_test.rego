package qnsp.rules_test.keys["broker-plaintext-in-development"]

import data.qnsp.rules.keys["broker-plaintext-in-development"] as rule

good := {"production": false, "mode": "strict", "unsealing": "attested-kms", "insecureUnsealing": false, "hasEnclave": true, "embeddedStorage": false, "plaintext": false, "replicas": 3, "adminKeys": 1}

world(member) := {"now": 1000, "environment": "development", "brokers": [member]}

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
