# METADATA
# title: "Algorithm without a final standard and without an end date"
# description: >-
#   An algorithm whose standard is not final (Falcon/FN-DSA, HQC today) may still change. Its use needs
#   an experimental entry with an expiry in the tier, so that somebody decides again.
# custom:
#   severity: medium
#   population: algorithmUses
#   message: >-
#     {algorithm} has no final standard, and the tier acknowledges no experimental use of it that is still
#     open.
#   remediation: >-
#     Add an `experimental` entry with a reason and an expiry to the tier, or use an algorithm with a
#     final standard.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 SC-13"
#   source: "FIPS 206 is not final; qnsp-v0 strict and maximum list Falcon-1024"
package qnsp.rules.crypto["experimental-without-expiry"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].final == true
}

pass contains index if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].final == false
	lib.number(member.experimentalUntil) >= lib.number(input.now)
}

fail contains lib.refusal(index, [], {"algorithm": lib.text(member.algorithm)}) if {
	some index, member in input.algorithmUses
	input.algorithms[member.algorithm].final == false
	lib.number(member.experimentalUntil) < lib.number(input.now)
}
