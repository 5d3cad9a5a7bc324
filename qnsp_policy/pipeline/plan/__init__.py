"""Stage 6, plan: Workspace + grants + recorded + observed + previews -> units, actions and the signed plan file.

Comes in: values only (the engine implements the `Previews` port). Goes out: a `Plan` whose payload is canonical JSON
(docs/formats/plan.md), signed by its author, approved by others, and verified before anything is applied.

    lowering/   documents and grants -> units, so that programs decide nothing
    structure   two JSON values -> differences that keep the identity of list members
    make        everything -> Plan
    envelope    sign, approve, verify
"""
