# METADATA
# title: "Alternative without a floor for a TCB component"
# description: >-
#   Without a floor a guest on firmware with published flaws is as good as any: a rolled-back security
#   processor forges what it likes.
# custom:
#   severity: high
#   population: alternatives
#   message: >-
#     This alternative sets no floor for {missing} of {attester}.
#   remediation: >-
#     Add `floors` for {missing} at the versions that your vendor's latest bulletin names.
#   controls:
#     - "NIST 800-53 SI-2"
#     - "NIST 800-53 SI-7"
package qnsp.rules.attestation["floors-missing"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.alternatives
	lib.missing(member.requiredFloors, member.floors) == []
}

fail contains lib.refusal(index, ["floors"], {"missing": gap, "attester": lib.text(member.attester)}) if {
	some index, member in input.alternatives
	gap := lib.missing(member.requiredFloors, member.floors)
	count(gap) > 0
}
