"""The relying party's library: is this answer what it says, and by whom; requests that a gateway accepts.

In: answers, evidence documents, `trust.json`. Out: verified answers whose statements say ok, claimed, simulated or not checked.
"""
