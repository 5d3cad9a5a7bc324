# METADATA
# title: "Reference values of another attester"
# description: >-
#   Values of a TDX guest say nothing about an SEV-SNP guest: nothing would ever match, and no key would
#   be released.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     This enclave attests as {attester}, its reference values are of {referenceAttester}.
#   remediation: >-
#     Point `referenceValues` to values of {attester}.
#   controls:
#     - "NIST 800-53 SI-7"
#     - "NIST 800-53 CM-6"
package qnsp.rules.attestation["attester-mismatch"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	lib.text(member.attester) == lib.text(member.referenceAttester)
}

fail contains lib.refusal(index, ["spec", "referenceValues"], {"attester": member.attester, "referenceAttester": member.referenceAttester}) if {
	some index, member in input.enclaves
	lib.text(member.attester) != lib.text(member.referenceAttester)
}
