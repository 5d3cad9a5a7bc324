# METADATA
# title: "The publisher of an image may also approve it"
# description: >-
#   Who builds an image and who lets it in are two people, else one compromised laptop is both.
# custom:
#   severity: high
#   population: referenceValues
#   message: >-
#     Signed as publisher by {approverSigners}, who may approve changes as well.
#   remediation: >-
#     Let somebody without the roles security and operator publish.
#   controls:
#     - "NIST 800-53 AC-6"
#     - "ISO 27001 A.5.18"
#     - "SOC 2 CC8.1"
package qnsp.rules.attestation["publisher-approves"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.approverSigners)) == 0
}

fail contains lib.refusal(index, ["spec"], {"approverSigners": member.approverSigners}) if {
	some index, member in input.referenceValues
	count(lib.texts(member.approverSigners)) > 0
}
