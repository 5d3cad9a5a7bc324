# The one entrypoint: what every rule answered, by rule id. Python demands that for each rule
# `pass` and the indexes of `fail` are disjoint and together the rule's whole population.
package qnsp.main

results[id] := {"pass": rule.pass, "fail": rule.fail} if {
	some category, name
	rule := data.qnsp.rules[category][name]
	id := concat("/", [category, name])
}
