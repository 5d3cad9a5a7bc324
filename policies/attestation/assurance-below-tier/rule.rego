# METADATA
# title: "Attester of a weaker class than a tenant's tier asks"
# description: >-
#   Classes are never silently equated: a Nitro enclave is isolated by its provider, NitroTPM measures a
#   boot, SEV-SNP and TDX are hardware TEEs. The tier says which are good enough. In development
#   simulated hardware stands for the class that it imitates, and another finding says that it proves
#   nothing.
# custom:
#   severity: high
#   population: enclaves
#   message: >-
#     {attester} on {platform} is {assurance}, but a tenant's tier asks for {requiredAssurance}.
#   remediation: >-
#     Use an attester of class {requiredAssurance}.
#   controls:
#     - "NIST 800-53 SC-39"
#     - "NIST 800-53 SC-3"
#     - "ISO 27001 A.8.24"
#   source: "docs/coverage.md, contradiction 3"
package qnsp.rules.attestation["assurance-below-tier"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.enclaves
	count(lib.texts(member.requiredAssurance)) == 0
	lib.text(member.assurance)
}

pass contains index if {
	some index, member in input.enclaves
	count(lib.texts(member.requiredAssurance)) > 0
	lib.text(member.assurance) in member.requiredAssurance
}

fail contains lib.refusal(index, ["spec", "attester"], {"attester": lib.text(member.attester), "platform": lib.text(member.platform), "assurance": member.assurance, "requiredAssurance": member.requiredAssurance}) if {
	some index, member in input.enclaves
	count(lib.texts(member.requiredAssurance)) > 0
	lib.text(member.assurance)
	not member.assurance in member.requiredAssurance
}
