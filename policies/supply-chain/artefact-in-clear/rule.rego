# METADATA
# title: "Artefact stored in clear"
# description: >-
#   HIP-5 encrypts all model storage and yet lets at-rest encryption begin at tier 1. Here only an
#   artefact that is marked public may lie in clear, and it is still signed.
# custom:
#   severity: high
#   population: artefacts
#   message: >-
#     This {type} of {tenant} is stored in clear and is not marked public.
#   remediation: >-
#     Seal it with `qnsp-policy artefact seal`; mark it `public: true` only if everybody may have it.
#   controls:
#     - "NIST 800-53 SC-28(1)"
#     - "ISO 27001 A.8.24"
#     - "HIPAA 164.312(a)(2)(iv)"
#   source: "docs/coverage.md, contradiction 4"
package qnsp.rules["supply-chain"]["artefact-in-clear"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.artefacts
	member.encrypted == true
}

pass contains index if {
	some index, member in input.artefacts
	member.encrypted == false
	member.mustEncrypt == false
}

fail contains lib.refusal(index, ["spec", "encryption"], {"type": lib.text(member.type), "tenant": lib.text(member.tenant)}) if {
	some index, member in input.artefacts
	member.encrypted == false
	member.mustEncrypt == true
}
