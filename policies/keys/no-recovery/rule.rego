# METADATA
# title: "Keys that nobody can recover in production"
# description: >-
#   If the roots are lost every sealed model and dataset is unreadable for ever. Recovery needs
#   custodians, a threshold that they can reach, and a drill within a year.
# custom:
#   severity: medium
#   population: hierarchies
#   message: >-
#     {tenant}'s keys have no recovery that works: {what}.
#   remediation: >-
#     Declare `recovery` with custodians, a threshold of at least 2, two sites and a drill of the last 365
#     days.
#   controls:
#     - "NIST 800-53 CP-9(8)"
#     - "SOC 2 A1.2"
#     - "GDPR 32(1)(c)"
package qnsp.rules.keys["no-recovery"]

import data.qnsp.lib

year := (365 * 24) * 3600

faults(member) := {"none is declared"} if member.hasRecovery == false

faults(member) := {text |
	some text, broken in {
		"one custodian alone is enough": lib.number(member.recoveryThreshold) < 2,
		"its threshold is above its custodians": lib.number(member.recoveryThreshold) > lib.number(member.custodians),
		"it has one site": lib.number(member.sites) < 2,
		"it was not drilled within a year": lib.number(member.lastDrill) < (lib.number(input.now) - year),
	}
	broken == true
} if {
	member.hasRecovery == true
	lib.number(member.recoveryThreshold)
	lib.number(member.custodians)
	lib.number(member.sites)
	lib.number(member.lastDrill)
	lib.number(input.now)
}

pass contains index if {
	some index, member in input.hierarchies
	member.production == false
}

pass contains index if {
	some index, member in input.hierarchies
	member.production == true
	faults(member) == set()
}

fail contains lib.refusal(index, ["spec", "recovery"], {"tenant": lib.text(member.tenant), "what": sort([fault | some fault in found])}) if {
	some index, member in input.hierarchies
	member.production == true
	found := faults(member)
	count(found) > 0
}
