"""Cryptography: algorithm table, keys, signatures, KEM and HPKE, envelopes (DSSE, JOSE, COSE), canonical JSON.

Comes in: bytes, JSON values, keys. Goes out: signatures, envelopes, and verified values that only a verifier makes.
Everything is built on `cryptography` (OpenSSL 4); nothing here reads a file or a clock but `*_edge.py`.
"""
