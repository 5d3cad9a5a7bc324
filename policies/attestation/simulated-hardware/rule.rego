# METADATA
# title: "Simulated hardware"
# description: >-
#   Everything works as with real hardware and proves nothing. Said at every check so that nobody
#   forgets.
# custom:
#   severity: info
#   population: enclaves
#   message: >-
#     {platform} has simulated hardware: what it attests proves nothing.
#   remediation: >-
#     Nothing while you try things out; take real hardware before real data.
#   controls:
#     - "NIST 800-53 SC-39"
package qnsp.rules.attestation["simulated-hardware"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	member.simulated == false
}

pass contains index if {
	some index, member in input.enclaves
	member.simulated == true
	member.production == true
}

fail contains lib.refusal(index, ["spec", "platform"], {"platform": lib.text(member.platform)}) if {
	some index, member in input.enclaves
	member.simulated == true
	member.production == false
}
