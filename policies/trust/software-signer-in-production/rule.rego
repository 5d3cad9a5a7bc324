# METADATA
# title: "Keys in files for a role that decides, in production"
# description: >-
#   A key in a file is copied without a trace. Who writes, approves or publishes in production holds the
#   key in hardware.
# custom:
#   severity: high
#   population: signers
#   message: >-
#     {identity} ({roles}) signs with keys in files.
#   remediation: >-
#     Use an ssh sk key, PKCS#11 or a KMS.
#   controls:
#     - "NIST 800-53 SC-12(3)"
#     - "NIST 800-53 IA-5(2)"
#     - "PCI DSS 4.0.1 3.6.1.1"
package qnsp.rules.trust["software-signer-in-production"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.signers
	member.production == false
}

pass contains index if {
	some index, member in input.signers
	member.production == true
	member.weighty == false
}

pass contains index if {
	some index, member in input.signers
	member.production == true
	member.weighty == true
	lib.text(member.type) != "software"
}

fail contains lib.refusal(index, ["type"], {"identity": lib.text(member.identity), "roles": lib.texts(member.roles)}) if {
	some index, member in input.signers
	member.production == true
	member.weighty == true
	lib.text(member.type) == "software"
}
