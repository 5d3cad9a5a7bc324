# METADATA
# title: "Anchor of a simulator in production"
# description: >-
#   Whoever has the simulator's key makes evidence that this anchor accepts.
# custom:
#   severity: critical
#   population: trustRoots
#   message: >-
#     {simulatedAnchors} anchors are simulated.
#   remediation: >-
#     Remove them; the vendors' own roots are pinned in the program.
#   controls:
#     - "NIST 800-53 SC-17"
#     - "NIST 800-53 SI-7"
package qnsp.rules.trust["simulated-anchor-in-production"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.trustRoots
	member.production == false
}

pass contains index if {
	some index, member in input.trustRoots
	member.production == true
	lib.number(member.simulatedAnchors) == 0
}

fail contains lib.refusal(index, ["spec", "anchors"], {"simulatedAnchors": member.simulatedAnchors}) if {
	some index, member in input.trustRoots
	member.production == true
	lib.number(member.simulatedAnchors) > 0
}
