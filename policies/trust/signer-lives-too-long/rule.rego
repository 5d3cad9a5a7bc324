# METADATA
# title: "Signer whose key lives longer than two years"
# description: >-
#   The longer a key lives the more it has signed when it is lost.
# custom:
#   severity: low
#   population: signers
#   message: >-
#     A {type} signer of {identity} lives more than two years from now.
#   remediation: >-
#     Set `expires` within two years.
#   controls:
#     - "NIST 800-53 SC-12"
#     - "PCI DSS 4.0.1 3.7.4"
package qnsp.rules.trust["signer-lives-too-long"]

import data.qnsp.lib

two_years := ((2 * 366) * 24) * 3600

pass contains index if {
	some index, member in input.signers
	lib.number(member.expires) <= lib.number(input.now) + two_years
}

fail contains lib.refusal(index, ["expires"], {"type": lib.text(member.type), "identity": lib.text(member.identity)}) if {
	some index, member in input.signers
	lib.number(member.expires) > lib.number(input.now) + two_years
}
