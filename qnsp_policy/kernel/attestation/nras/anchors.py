"""What pins NRAS: the intermediate that certifies its daily signing keys, by the SHA-256 of its public key (SPKI).

Origin: the intermediate "004" (RSA, to 2029-12-08) that the service's key set carries in `x5c`; the root is never sent. An anchor of
vendor "nras" holds either that 32-byte digest or a whole certificate, whose public key is then compared.
"""

from __future__ import annotations

from typing import Final

from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass

INTERMEDIATE_004_SPKI_SHA256: Final = "fd32837f954e2c45db073105166dfe6985ae0480bb113fba63b091a75affe896"

ANCHORS: Final = (
    Anchor("nras", bytes.fromhex(INTERMEDIATE_004_SPKI_SHA256), AssuranceClass.HARDWARE_TEE, "intermediate 004"),
)

__all__ = ["ANCHORS", "INTERMEDIATE_004_SPKI_SHA256"]
