# METADATA
# title: "Reference values that no publisher signed"
# description: >-
#   Reference values decide who gets keys. They count only with the signature of a publisher of the
#   TrustRoot.
# custom:
#   severity: high
#   population: referenceValues
#   message: >-
#     No publisher of the TrustRoot signed these reference values.
#   remediation: >-
#     Have a builder with the publisher role sign them: `qnsp-policy sign`.
#   controls:
#     - "NIST 800-53 SI-7(1)"
#     - "NIST 800-53 CM-14"
#     - "SOC 2 CC6.8"
package qnsp.rules.attestation["reference-values-unsigned"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.referenceValues
	count(lib.texts(member.publisherSigners)) > 0
}

fail contains lib.refusal(index, ["spec"], {}) if {
	some index, member in input.referenceValues
	count(lib.texts(member.publisherSigners)) == 0
}
