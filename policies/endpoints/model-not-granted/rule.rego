# METADATA
# title: "Endpoint whose enclave gets no key for its model"
# description: >-
#   The guest would start, attest, ask for the model's key and be refused.
# custom:
#   severity: high
#   population: endpoints
#   message: >-
#     No grant releases the key of {model} to {enclave}.
#   remediation: >-
#     Write a Grant of the model's key to {enclave}.
#   controls:
#     - "NIST 800-53 AC-3"
package qnsp.rules.endpoints["model-not-granted"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	member.modelSealed == false
}

pass contains index if {
	some index, member in input.endpoints
	member.modelSealed == true
	member.modelGranted == true
}

fail contains lib.refusal(index, ["spec", "model"], {"model": lib.text(member.model), "enclave": lib.text(member.enclave)}) if {
	some index, member in input.endpoints
	member.modelSealed == true
	member.modelGranted == false
}
