"""The gateway in front of an upstream inside an attester: who may ask, how much, and an answer that proves itself.

In: API requests, signed or with a token that a tenant's key signed. Out: the upstream's answer with Content-Digest, an RFC 9421
signature by the attested key, a receipt in the gateway's own log. No payload is ever written anywhere.
"""
