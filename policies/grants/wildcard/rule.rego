# METADATA
# title: "Grant of everything of one type"
# description: >-
#   A wildcard also grants what does not exist yet: a model added next year is released by today's
#   consent. It needs a waiver that ends.
# custom:
#   severity: high
#   population: grantResources
#   message: >-
#     {resource} grants whatever there will ever be under it.
#   remediation: >-
#     Name the resources one by one, or have a Waiver of this rule signed.
#   controls:
#     - "NIST 800-53 AC-6"
#     - "ISO 27001 A.5.15"
#     - "SOC 2 CC6.3"
package qnsp.rules.grants.wildcard

import data.qnsp.lib

pass contains index if {
	some index, member in input.grantResources
	member.wildcard == false
}

fail contains lib.refusal(index, [], {"resource": lib.text(member.resource)}) if {
	some index, member in input.grantResources
	member.wildcard == true
}
