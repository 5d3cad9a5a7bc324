"""Stage 4, trust: from a Workspace to effective grants, release policies, approvals and the trust diff.

Comes in: a `Workspace` (or release policies that were applied before), verified claims, plan envelopes; goes out: values
and verdicts. Services import this room too, so what a broker must verify of a plan lives here (`authorisation`).

    grants          who may obtain what under which evidence, from documents alone
    implication     when one condition admits no more than another
    diff            two sets of grants -> direction of every change
    release_policy  what a broker holds; `decide` what it then does
    trust_root      who judges a change; `approvals` how many of whom; `authorisation` whether they did
"""
