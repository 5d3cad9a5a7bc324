# METADATA
# title: "A legacy or experimental tier in use"
# description: >-
#   QNSP's TIER0_LEGACY needs an expiry and TIER4_EXPERIMENTAL an acknowledgement. A signed waiver of
#   this finding is both: it has a reason, an approver and an end.
# custom:
#   severity: high
#   population: tenants
#   message: >-
#     {tier} is a tier that must be {acknowledge} by somebody before it is used.
#   remediation: >-
#     Move the tenant to another tier, or have a Waiver of this rule signed.
#   controls:
#     - "ISO 27001 A.8.24"
#     - "NIST 800-53 CA-2"
#   source: "QNSP tier model v1"
package qnsp.rules.crypto["tier-needs-acknowledgement"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.tenants
	lib.text(member.acknowledge) == ""
}

fail contains lib.refusal(index, ["spec", "tier"], {"tier": lib.text(member.tier), "acknowledge": member.acknowledge}) if {
	some index, member in input.tenants
	lib.text(member.acknowledge) != ""
}
