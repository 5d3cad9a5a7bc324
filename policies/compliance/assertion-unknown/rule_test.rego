package qnsp.rules_test.compliance["assertion-unknown"]

import data.qnsp.rules.compliance["assertion-unknown"] as rule

good := {"framework": "Framework/iso", "control": "A.8.24", "controlKnown": true, "otherEdition": "", "unknownAssertions": [], "assertions": 1, "responsibility": "tool", "notApplicable": false}

world(member) := {"now": 1000, "environment": "production", "controls": [member]}

test_passes_a_good_member if {
	rule.pass == {0} with input as world(good)
	rule.fail == set() with input as world(good)
}

test_refuses_a_misspelt_rule if {
	member := object.union(good, {"unknownAssertions": ["crypto/nope"]})
	rule.pass == set() with input as world(member)
	{refusal.index | some refusal in rule.fail} == {0} with input as world(member)
}

test_has_no_answer_for_an_empty_member if {
	rule.pass == set() with input as world({})
	rule.fail == set() with input as world({})
}
