# METADATA
# title: "Attester that the platform does not offer"
# description: >-
#   No offer of TDX on AWS is known, SGX is not on Nitro instances, a Nitro enclave is nowhere but on
#   AWS: such an enclave would never start.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     {platformType} platforms offer {offered}, not {attester}.
#   remediation: >-
#     Use one of {offered}, and look at what each stands for, or another platform.
#   controls:
#     - "NIST 800-53 CM-6"
#   source: "docs/coverage.md, impossible combinations"
package qnsp.rules.platform["attester-not-offered"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.text(member.attester) in lib.texts(member.offered)
}

fail contains lib.refusal(index, ["spec", "attester"], {"platformType": lib.text(member.platformType), "offered": member.offered, "attester": member.attester}) if {
	some index, member in input.enclaves
	lib.text(member.attester)
	lib.texts(member.offered)
	not member.attester in member.offered
}
