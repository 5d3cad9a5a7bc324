# METADATA
# title: "Values confirmed by one builder only, in production"
# description: >-
#   Two builders who come to the same digest show that the build is reproducible and that no single
#   machine lied.
# custom:
#   severity: low
#   population: referenceValues
#   message: >-
#     Only {builders} built this image.
#   remediation: >-
#     Have a second builder rebuild it and add their name and signature.
#   controls:
#     - "NIST 800-53 SR-11"
#     - "NIST 800-53 SI-7"
package qnsp.rules.attestation["one-builder"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.referenceValues
	member.production == false
}

pass contains index if {
	some index, member in input.referenceValues
	member.production == true
	count(lib.texts(member.builders)) >= 2
}

fail contains lib.refusal(index, ["spec", "builders"], {"builders": member.builders}) if {
	some index, member in input.referenceValues
	member.production == true
	count(lib.texts(member.builders)) < 2
}
