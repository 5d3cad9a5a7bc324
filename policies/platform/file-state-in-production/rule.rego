# METADATA
# title: "State in a local file in production"
# description: >-
#   A file on one machine has no lock between machines, no history and one disk to lose.
# custom:
#   severity: high
#   population: projects
#   message: >-
#     State lies in {backendScheme}://.
#   remediation: >-
#     Use an s3://, gs:// or azblob:// backend.
#   controls:
#     - "NIST 800-53 CP-9"
#     - "NIST 800-53 SC-28"
#     - "ISO 27001 A.8.13"
package qnsp.rules.platform["file-state-in-production"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.projects
	member.production == false
}

pass contains index if {
	some index, member in input.projects
	member.production == true
	lib.text(member.backendScheme) != "file"
}

fail contains lib.refusal(index, ["spec", "backend", "url"], {"backendScheme": member.backendScheme}) if {
	some index, member in input.projects
	member.production == true
	lib.text(member.backendScheme) == "file"
}
