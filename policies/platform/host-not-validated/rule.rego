# METADATA
# title: "Host in use without a passed validation"
# description: >-
#   No confidential VM is started on a host whose validation failed or was never made: Manifold's first
#   servers did not even boot with TDX until BIOS and GPU firmware were the right ones.
# custom:
#   severity: high
#   population: hosts
#   message: >-
#     This host is in use and its validation is {verdict}.
#   remediation: >-
#     Validate the host with its profile, or take it out of the platform.
#   controls:
#     - "NIST 800-53 CM-6"
#     - "NIST 800-53 SI-7"
#   source: "DM-4"
package qnsp.rules.platform["host-not-validated"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.hosts
	member.used == false
}

pass contains index if {
	some index, member in input.hosts
	member.used == true
	lib.text(member.verdict) == "passed"
}

fail contains lib.refusal(index, ["spec", "validation"], {"verdict": member.verdict}) if {
	some index, member in input.hosts
	member.used == true
	lib.text(member.verdict) != "passed"
}
