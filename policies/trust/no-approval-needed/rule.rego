# METADATA
# title: "Plans that nobody but their author approves, in production"
# description: >-
#   Author and approver are different people. With no approval asked for, one person changes who gets
#   which key.
# custom:
#   severity: critical
#   population: projects
#   message: >-
#     Plans need {approvals} approvals, weakening ones {weakenApprovals}.
#   remediation: >-
#     Set `approvals.default` and `approvals.weaken.count` to at least 1.
#   controls:
#     - "NIST 800-53 AC-5"
#     - "SOC 2 CC8.1"
#     - "ISO 27001 A.5.3"
package qnsp.rules.trust["no-approval-needed"]

import data.qnsp.lib

least(member) := min([lib.number(member.approvals), lib.number(member.weakenApprovals)])

pass contains index if {
	some index, member in input.projects
	member.production == false
}

pass contains index if {
	some index, member in input.projects
	member.production == true
	lib.number(member.approvals) >= 1
	lib.number(member.weakenApprovals) >= 1
}

fail contains lib.refusal(index, ["spec", "approvals"], {"approvals": member.approvals, "weakenApprovals": member.weakenApprovals}) if {
	some index, member in input.projects
	member.production == true
	least(member) < 1
}
