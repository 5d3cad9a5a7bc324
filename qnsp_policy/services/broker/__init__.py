"""The key broker: attestation-gated release of keys over the CoCo KBS protocol 0.4.0, and its signed administration.

In: KBS requests of guests, signed admin requests with approved plans. Out: keys wrapped to attested guests, ledger records.
A broker widens what it releases only by objects whose digests an approved plan names; docs/formats/broker.md is its surface.
"""
