# METADATA
# title: "API key that has expired"
# description: >-
#   The gateway refuses requests signed by an expired key; a document that still lists it says something
#   else than what runs.
# custom:
#   severity: medium
#   population: apiKeys
#   message: >-
#     The API key {name} has expired.
#   remediation: >-
#     Rotate it and list the new public key, or remove the entry.
#   controls:
#     - "NIST 800-53 IA-5(2)"
package qnsp.rules.tenancy["api-key-expired"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.apiKeys
	lib.number(member.expires) >= lib.number(input.now)
}

fail contains lib.refusal(index, ["expires"], {"name": lib.text(member.name)}) if {
	some index, member in input.apiKeys
	lib.number(member.expires) < lib.number(input.now)
}
