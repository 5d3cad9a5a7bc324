"""The pinned root of AWS Nitro attestation: AWS Nitro Enclaves Root-G1, valid 2019-10-28 to 2049-10-28.

Origin: the archive that AWS publishes beside its documentation of Nitro attestation; the SHA-256 of the DER certificate is the
fingerprint that the documentation prints. Both enclaves and NitroTPM end in it, so the assurance class follows from the kind.
"""

from __future__ import annotations

import base64
from typing import Final

from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass

_ROOT_G1: Final = """
MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTELMAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpv
bjEMMAoGA1UECwwDQVdTMRswGQYDVQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4MTQyODA1
WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQLDANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZl
czB2MBAGByqGSM49AgEGBSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb48C8WBoyt7F2Bw7e
EtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZEh8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4E
FgQUkCW1DdkFR+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYCMQCjfy+Rocm9Xue4YnwWmNJV
A44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPWrfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPL
b+6NIwLz3/Y=
"""
ROOT_G1_SHA256: Final = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

ANCHORS: Final = (
    Anchor("aws", base64.b64decode("".join(_ROOT_G1.split())), AssuranceClass.PROVIDER_ISOLATION, "Root-G1"),
)

__all__ = ["ANCHORS", "ROOT_G1_SHA256"]
