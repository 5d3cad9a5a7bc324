# METADATA
# title: "Waiver approved by somebody without the security role"
# description: >-
#   Who waives a finding answers for the risk; the TrustRoot says who may.
# custom:
#   severity: high
#   population: waivers
#   message: >-
#     {approver} does not hold the role security.
#   remediation: >-
#     Let somebody with the role security approve and sign it.
#   controls:
#     - "NIST 800-53 CA-6"
#     - "NIST 800-53 AC-5"
package qnsp.rules.waivers["approver-without-role"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.waivers
	lib.text(member.approver) in lib.texts(member.mayWaive)
}

fail contains lib.refusal(index, ["spec", "approver"], {"approver": lib.text(member.approver)}) if {
	some index, member in input.waivers
	lib.text(member.approver)
	lib.texts(member.mayWaive)
	not member.approver in member.mayWaive
}
