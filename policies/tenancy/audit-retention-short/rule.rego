# METADATA
# title: "Audit records kept for less than six months"
# description: >-
#   Article 19 and 26(6) of the EU AI Act ask for logs of at least six months, HIPAA for six years of
#   documents.
# custom:
#   severity: low
#   population: tenants
#   message: >-
#     Audit records of this tenant are kept for less than 180 days.
#   remediation: >-
#     Set `auditRetention` to 180d or more, six years where HIPAA applies.
#   controls:
#     - "EU AI Act Art. 19"
#     - "EU AI Act Art. 26(6)"
#     - "NIST 800-53 AU-11"
#     - "ISO 27001 A.5.33"
package qnsp.rules.tenancy["audit-retention-short"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tenants
	lib.number(member.auditRetention) >= 15552000
}

fail contains lib.refusal(index, ["spec", "auditRetention"], {}) if {
	some index, member in input.tenants
	lib.number(member.auditRetention) < 15552000
}
