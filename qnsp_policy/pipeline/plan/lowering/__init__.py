"""Lowering: documents and grants -> units, with every value that a program needs (docs/formats/units.md).

Comes in: a workspace, its effective grants, recorded state (for what must not move) and the bytes of the files that documents
name. Goes out: units in the order of their waves. A program decides nothing; whatever is decided is decided here.
"""
