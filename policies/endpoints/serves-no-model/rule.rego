# METADATA
# title: "Endpoint that serves something else than a model"
# description: >-
#   A dataset, an index or an image cannot answer.
# custom:
#   severity: high
#   population: endpoints
#   message: >-
#     {model} is of type {modelType}.
#   remediation: >-
#     Name an artefact of type model.
#   controls:
#     - "NIST 800-53 CM-6"
package qnsp.rules.endpoints["serves-no-model"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.endpoints
	lib.text(member.modelType) == "model"
}

fail contains lib.refusal(index, ["spec", "model"], {"model": lib.text(member.model), "modelType": member.modelType}) if {
	some index, member in input.endpoints
	lib.text(member.modelType) != "model"
}
