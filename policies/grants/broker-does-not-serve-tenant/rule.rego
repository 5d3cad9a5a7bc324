# METADATA
# title: "Grant at a broker that does not serve the tenant"
# description: >-
#   The broker holds no keys of that tenant and would refuse every request.
# custom:
#   severity: high
#   population: grantResources
#   message: >-
#     {broker} does not serve {tenant}, whose {resource} is granted.
#   remediation: >-
#     Add {tenant} to the broker's `tenants`, or name the broker that serves it.
#   controls:
#     - "NIST 800-53 AC-3"
#     - "NIST 800-53 SC-12"
package qnsp.rules.grants["broker-does-not-serve-tenant"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.grantResources
	member.brokerServes == true
}

fail contains lib.refusal(index, ["spec", "broker"], {"broker": lib.text(member.broker), "tenant": lib.text(member.tenant), "resource": lib.text(member.resource)}) if {
	some index, member in input.grantResources
	member.brokerServes == false
}
