"""Codes of refusal for NRAS tokens, in the order of the steps; from 020 on they are the service's own verdict, not a fault of form."""

from __future__ import annotations

from typing import Final

from qnsp_policy.kernel.attestation.refusal import Code, collect

SHAPE: Final = Code("QNSP-ATT-NRAS-001", 1, "format", 'not a detached EAT: [["JWT", overall], {device: token}]')
JSON: Final = Code("QNSP-ATT-NRAS-002", 1, "format", "not JSON, too large or too deep, or a name is given twice")
TOKEN: Final = Code("QNSP-ATT-NRAS-003", 1, "format", "a token is not a compact JWS")
HEADER: Final = Code("QNSP-ATT-NRAS-004", 2, "header", "a token's header has other members than kid, alg and typ")
ALGORITHM: Final = Code("QNSP-ATT-NRAS-005", 2, "header", "the algorithm is not ES384")
NO_KEYS: Final = Code("QNSP-ATT-NRAS-006", 3, "key", "no key set (JWKS) was given")
KEY_SET: Final = Code("QNSP-ATT-NRAS-007", 3, "key", "the key set is not of its form, or two keys share an id")
UNKNOWN_KEY: Final = Code("QNSP-ATT-NRAS-008", 3, "key", "the key id is not in the key set")
KEY_CERTIFICATE: Final = Code(
    "QNSP-ATT-NRAS-009", 4, "chain", "the key is not the one that its certificate (x5c) certifies"
)
CHAIN: Final = Code("QNSP-ATT-NRAS-010", 4, "chain", "the certificates of a key do not form a chain")
PIN: Final = Code("QNSP-ATT-NRAS-011", 4, "chain", "the certificates of a key do not reach a pinned intermediate")
WINDOW: Final = Code("QNSP-ATT-NRAS-012", 4, "chain", "a certificate of the key is not valid now")
SIGNATURE: Final = Code("QNSP-ATT-NRAS-013", 5, "signature", "a token's signature does not verify (96 bytes, r || s)")
EXPIRED: Final = Code("QNSP-ATT-NRAS-014", 6, "times", "a token has expired")
NOT_YET: Final = Code("QNSP-ATT-NRAS-015", 6, "times", "a token is not valid yet")
TIMES: Final = Code("QNSP-ATT-NRAS-016", 6, "times", "a token lacks iat, nbf or exp as whole seconds")
ISSUER: Final = Code("QNSP-ATT-NRAS-017", 6, "times", "the issuer is not https://nras.attestation.nvidia.com")
SUBMODULES: Final = Code(
    "QNSP-ATT-NRAS-018", 7, "submodules", "the overall token and the device tokens do not name the same devices"
)
DIGEST: Final = Code(
    "QNSP-ATT-NRAS-019", 7, "submodules", "a device token is not the one whose digest the overall token carries"
)
NONCE: Final = Code("QNSP-ATT-NRAS-020", 8, "nonce", "the tokens carry no nonce, a zero one, or different ones")
VERSION: Final = Code("QNSP-ATT-NRAS-021", 9, "claims", "the version of the claims is not 2.0 or 3.0")
OTHER_VERSION: Final = Code(
    "QNSP-ATT-NRAS-022", 9, "claims", "a device token uses names of another version of the claims"
)
CLAIM_TYPE: Final = Code("QNSP-ATT-NRAS-023", 9, "claims", "a claim is of another type than the service gives it")
OVERALL: Final = Code("QNSP-ATT-NRAS-030", 10, "verdict", "the service's overall verdict is false")
MEASUREMENTS: Final = Code("QNSP-ATT-NRAS-031", 10, "verdict", "a device's measurement result is absent or not success")
SECURE_BOOT: Final = Code("QNSP-ATT-NRAS-032", 10, "verdict", "secure boot is not confirmed for a device")
DEBUG: Final = Code("QNSP-ATT-NRAS-033", 10, "verdict", "debug is not disabled on a device")
CHECK: Final = Code("QNSP-ATT-NRAS-034", 10, "verdict", "a check of the service is absent or did not pass for a device")

CODES: Final = collect(globals())
