# METADATA
# title: "A part between hardware and workload that nothing measures"
# description: >-
#   What is not measured can be exchanged without a trace: a kernel command line that adds a shell, an
#   initrd that copies the key. Each part must be carried by a register.
# custom:
#   severity: high
#   population: referenceValues
#   message: >-
#     Nothing measures {missing} of this guest.
#   remediation: >-
#     Name in `covers` the register that carries {missing}, or measure it.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "NIST 800-53 CM-14"
package qnsp.rules.attestation["measurement-gap"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.referenceValues
	lib.missing(member.required, member.covered) == []
}

fail contains lib.refusal(index, ["spec", "covers"], {"missing": gap}) if {
	some index, member in input.referenceValues
	gap := lib.missing(member.required, member.covered)
	count(gap) > 0
}
