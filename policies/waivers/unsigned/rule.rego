# METADATA
# title: "Waiver without its approver's signature"
# description: >-
#   A waiver is what its approver signed; the name alone is what its author wrote.
# custom:
#   severity: high
#   population: waivers
#   message: >-
#     {approver} has not signed this waiver; {signers} did.
#   remediation: >-
#     Have {approver} sign it: `qnsp-policy sign`.
#   controls:
#     - "NIST 800-53 AU-10"
#     - "NIST 800-53 CA-6"
#     - "ISO 27001 A.5.36"
package qnsp.rules.waivers.unsigned

import data.qnsp.lib

pass contains index if {
	some index, member in input.waivers
	lib.text(member.approver) in lib.texts(member.signers)
}

fail contains lib.refusal(index, ["spec", "approver"], {"approver": member.approver, "signers": member.signers}) if {
	some index, member in input.waivers
	lib.text(member.approver)
	lib.texts(member.signers)
	not member.approver in member.signers
}
