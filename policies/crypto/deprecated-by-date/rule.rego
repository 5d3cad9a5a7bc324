# METADATA
# title: "Algorithm deprecated at this date"
# description: >-
#   A deprecated algorithm still works and is still allowed, but its end is dated: new uses make the
#   later move dearer.
# custom:
#   severity: low
#   population: algorithmUses
#   message: >-
#     {algorithm} is deprecated at this date.
#   remediation: >-
#     Plan the move to a successor before the day on which {algorithm} is disallowed.
#   controls:
#     - "NIST 800-53 SC-13"
#     - "PCI DSS 4.0.1 12.3.3"
#   source: "IR 8547 (draft): 112-bit RSA and ECC deprecated after 2030"
package qnsp.rules.crypto["deprecated-by-date"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.algorithmUses
	lib.number(input.algorithms[member.algorithm].deprecatedFrom) > lib.number(input.now)
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm)}) if {
	some index, member in input.algorithmUses
	lib.number(input.algorithms[member.algorithm].deprecatedFrom) <= lib.number(input.now)
}
