# METADATA
# title: "Guest that lets people in"
# description: >-
#   SSH, exec into the workload and plaintext logs hand what is inside to whoever administers the
#   machine, without a trace in the evidence.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     This guest has {openings} on.
#   remediation: >-
#     Turn {openings} off in `launch`.
#   controls:
#     - "NIST 800-53 AC-17"
#     - "NIST 800-53 SC-39"
#     - "ISO 27001 A.8.12"
#   source: "NV-8"
package qnsp.rules.attestation["guest-open"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	count(lib.texts(member.openings)) == 0
}

fail contains lib.refusal(index, ["spec", "launch"], {"openings": member.openings}) if {
	some index, member in input.enclaves
	count(lib.texts(member.openings)) > 0
}
