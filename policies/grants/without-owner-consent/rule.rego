# METADATA
# title: "Grant without the consent of the resource's owners"
# description: >-
#   Nothing of a tenant is released unless its owners agree, as many as its hierarchy asks for. Consent
#   of somebody else is none.
# custom:
#   severity: critical
#   population: grantResources
#   message: >-
#     {resource} needs the consent of {ownersNeeded} of {owners}; {consenting} consent.
#   remediation: >-
#     Add the missing owners to `consent` and have them sign the grant.
#   controls:
#     - "NIST 800-53 AC-3"
#     - "ISO 27001 A.5.15"
#     - "SOC 2 CC6.2"
package qnsp.rules.grants["without-owner-consent"]

import data.qnsp.lib

given(member) := count([owner | some owner in member.owners; owner in member.consenting]) if {
	lib.texts(member.owners)
	lib.texts(member.consenting)
}

pass contains index if {
	some index, member in input.grantResources
	given(member) >= lib.number(member.ownersNeeded)
}

fail contains lib.refusal(index, ["spec", "consent"], {"resource": lib.text(member.resource), "ownersNeeded": member.ownersNeeded, "owners": member.owners, "consenting": member.consenting}) if {
	some index, member in input.grantResources
	given(member) < lib.number(member.ownersNeeded)
}
