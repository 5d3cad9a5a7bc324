"""Data shipped as documents, each file with its provenance: tiers, algorithm time-lines, platforms, frameworks.

A user reads, copies and extends them like documents of their own. Only bytes leave this room; `pipeline/model` types
them. What published systems leave open is ours and is said so in `source`.
"""
