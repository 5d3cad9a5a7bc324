# METADATA
# title: "Endpoint with a model of somebody who is not among its tenants"
# description: >-
#   The model's owner must be one of those whom the endpoint serves, or have sold it by a grant with a
#   licence.
# custom:
#   severity: high
#   population: endpoints
#   message: >-
#     {model} belongs to {modelTenant}, and this endpoint serves {tenants}.
#   remediation: >-
#     Serve {modelTenant} here too, or take a model of {tenants}.
#   controls:
#     - "NIST 800-53 AC-4"
#     - "SOC 2 CC6.1"
package qnsp.rules.endpoints["model-of-other-tenant"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	lib.text(member.modelTenant) == ""
}

pass contains index if {
	some index, member in input.endpoints
	lib.text(member.modelTenant) != ""
	member.modelTenant in lib.texts(member.tenants)
}

fail contains lib.refusal(index, ["spec", "model"], {"model": lib.text(member.model), "modelTenant": member.modelTenant, "tenants": member.tenants}) if {
	some index, member in input.endpoints
	lib.text(member.modelTenant) != ""
	lib.texts(member.tenants)
	not member.modelTenant in member.tenants
}
