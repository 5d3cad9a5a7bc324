# METADATA
# title: "Tenant without quotas in production"
# description: >-
#   Model extraction works by many queries. Signatures and encryption do nothing against it; quotas slow
#   it down, and what is left is a residual risk that is printed as such.
# custom:
#   severity: low
#   population: tenants
#   message: >-
#     This tenant has no quota on requests or tokens.
#   remediation: >-
#     Set `quotas.requestsPerMinute` or `quotas.tokensPerDay`.
#   controls:
#     - "NIST 800-53 SC-5"
#     - "ISO 27001 A.8.6"
#   source: "docs/coverage.md, contradiction 10"
package qnsp.rules.tenancy["no-quota"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tenants
	member.hasQuota == true
}

pass contains index if {
	some index, member in input.tenants
	member.hasQuota == false
	member.production == false
}

fail contains lib.refusal(index, ["spec", "quotas"], {}) if {
	some index, member in input.tenants
	member.hasQuota == false
	member.production == true
}
