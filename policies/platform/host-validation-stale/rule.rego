# METADATA
# title: "Host whose validation is too old"
# description: >-
#   Firmware and settings change. A report older than the platform allows says what was, not what is.
# custom:
#   severity: medium
#   population: hosts
#   message: >-
#     This host's validation report is older than its platform allows.
#   remediation: >-
#     Validate it again.
#   controls:
#     - "NIST 800-53 CM-6"
#     - "NIST 800-53 CA-7"
package qnsp.rules.platform["host-validation-stale"]

import data.qnsp.lib

pass contains index if {
	some index, member in input.hosts
	member.used == false
}

pass contains index if {
	some index, member in input.hosts
	member.used == true
	lib.text(member.verdict) != "passed"
}

pass contains index if {
	some index, member in input.hosts
	member.used == true
	member.verdict == "passed"
	lib.number(member.at) + lib.number(member.maximumAge) >= lib.number(input.now)
}

fail contains lib.refusal(index, ["spec", "validation", "at"], {}) if {
	some index, member in input.hosts
	member.used == true
	lib.text(member.verdict) == "passed"
	lib.number(member.at) + lib.number(member.maximumAge) < lib.number(input.now)
}
