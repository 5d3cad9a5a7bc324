# METADATA
# title: "Consent that is written but not signed"
# description: >-
#   A name in a list is what the author of the list claims. Consent counts when the owner's signature is
#   on the grant.
# custom:
#   severity: high
#   population: grantResources
#   message: >-
#     Consent to {resource} is written for {unsigned}, without a signature of theirs on this grant.
#   remediation: >-
#     Let {unsigned} sign it: `qnsp-policy sign`.
#   controls:
#     - "NIST 800-53 AC-3"
#     - "NIST 800-53 AU-10"
#     - "SOC 2 CC6.2"
package qnsp.rules.grants["consent-not-signed"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.grantResources
	lib.missing(member.consenting, member.signed) == []
}

fail contains lib.refusal(index, ["spec", "consent"], {"unsigned": gap, "resource": lib.text(member.resource)}) if {
	some index, member in input.grantResources
	gap := lib.missing(member.consenting, member.signed)
	count(gap) > 0
}
