# METADATA
# title: "Algorithm disallowed at this date"
# description: >-
#   The time-line of the catalog names the day from which a regime no longer allows an algorithm. Judged
#   at `--now`, so tomorrow's refusals can be seen today.
# custom:
#   severity: high
#   population: algorithmUses
#   message: >-
#     {algorithm} is disallowed since a date that has passed.
#   remediation: >-
#     Replace {algorithm}; the catalog's time-line names the successor.
#   controls:
#     - "NIST 800-53 SC-13"
#     - "PCI DSS 4.0.1 12.3.3"
#     - "DORA RTS 6(4)"
#   source: "IR 8547 (draft): RSA and ECC disallowed after 2035"
package qnsp.rules.crypto["disallowed-by-date"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.algorithmUses
	lib.number(input.algorithms[member.algorithm].disallowedFrom) > lib.number(input.now)
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm)}) if {
	some index, member in input.algorithmUses
	lib.number(input.algorithms[member.algorithm].disallowedFrom) <= lib.number(input.now)
}
