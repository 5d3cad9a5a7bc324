"""Images written: byte for byte what AWS's own builder writes, the same registers, signatures that each side's verifier takes."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from qnsp_policy.kernel.attestation.nitro_enclave import eif as reader
from qnsp_policy.kernel.images import eif

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "eif" / "aws_builder.json").read_text())
KERNEL = bytes.fromhex(VECTOR["kernel"])
RAMDISKS = [bytes.fromhex(one) for one in VECTOR["ramdisks"]]
DESCRIBED = eif.metadata("peer", "1", system="Linux", kernel="6.1", tool=("qnsp-policy", "0"), custom={"a": 1})


def signer() -> eif.Signer:
    key = load_pem_private_key(VECTOR["keyInsecure"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return eif.Signer(key, VECTOR["certificate"].encode())


def registers(data: bytes) -> dict[str, str]:
    return {f"pcr{index}": value.hex() for index, value in reader.pcrs(reader.parse(data)).items()}


def test_the_same_bytes_as_aws_s_own_builder() -> None:
    """Header, order of sections, metadata, CRC."""
    assert eif.write(KERNEL, VECTOR["cmdline"], RAMDISKS, DESCRIBED).hex() == VECTOR["plain"]


def test_the_same_registers_as_aws_s_own_builder() -> None:
    """PCR0, 1, 2, and PCR8 of the signed one; ours and theirs, computed here and there."""
    ours = eif.write(KERNEL, VECTOR["cmdline"], RAMDISKS, DESCRIBED, signer=signer())
    assert registers(ours) == registers(bytes.fromhex(VECTOR["signed"])) == VECTOR["registers"]


def test_signatures_hold_and_are_the_same_every_time() -> None:
    """Theirs by our verifier, ours twice."""
    one, two = (eif.write(KERNEL, VECTOR["cmdline"], RAMDISKS, DESCRIBED, signer=signer()) for _ in range(2))
    assert one == two
    assert eif.verify_signature(reader.parse(one))
    assert eif.verify_signature(reader.parse(bytes.fromhex(VECTOR["signed"])))
    assert not eif.verify_signature(reader.parse(bytes.fromhex(VECTOR["plain"])))


def test_a_signature_over_another_image_does_not_hold() -> None:
    """The section of one image behind another's kernel."""
    section = reader.parse(bytes.fromhex(VECTOR["signed"])).of("signature")[0]
    sections = [(1, b"other"), (2, b"x"), (5, DESCRIBED), (3, RAMDISKS[0]), (4, section)]
    moved = reader.parse(eif._assembled(sections, 0, 1, 1))
    with pytest.raises(eif.EifSignatureError, match="another PCR0"):
        eif.verify_signature(moved)


def test_a_changed_signature_does_not_hold() -> None:
    """One bit of it, with the CRC put right: refused; or another certificate of the same key, which PCR8 shows."""
    whole = bytes.fromhex(VECTOR["signed"])
    section = reader.parse(whole).sections[-1]
    refused = 0
    for at in range(section.offset, section.offset + len(section.data), 37):
        changed = bytearray(whole)
        changed[at] ^= 1
        changed[544:548] = zlib.crc32(changed[548:], zlib.crc32(changed[:544])).to_bytes(4, "big")
        try:
            eif.verify_signature(reader.parse(bytes(changed)))
        except (eif.EifSignatureError, reader.EifError):
            refused += 1
        else:
            differing = {
                name for name, value in registers(bytes(changed)).items() if VECTOR["registers"][name] != value
            }
            assert differing <= {"pcr8"}
    assert refused > 30


@pytest.mark.parametrize(
    "section",
    [
        cbor2.dumps([{"signing_certificate": 10**15, "signature": 10**15}]),
        cbor2.dumps([{"signing_certificate": [300], "signature": []}]),
        cbor2.dumps([{"signing_certificate": [], "signature": cbor2.dumps([1, 2, 3, 4])}]),
        cbor2.dumps([]),
        cbor2.dumps({"a": 1}),
        b"\xff",
    ],
    ids=["sizes-for-bytes", "no-octets", "numbers", "empty", "map", "garbage"],
)
def test_a_signature_section_of_another_shape_is_refused(section: bytes) -> None:
    """A number is never taken for a size."""
    sections = [(1, b"k"), (2, b"x"), (3, b"r"), (4, section)]
    with pytest.raises(eif.EifSignatureError):
        eif.verify_signature(reader.parse(eif._assembled(sections, 0, 1, 1)))


def test_a_key_of_another_certificate_signs_nothing() -> None:
    """And a key that is not P-384 neither."""
    with pytest.raises(eif.EifSignatureError, match="not that of the certificate"):
        eif.Signer(ec.generate_private_key(ec.SECP384R1()), VECTOR["certificate"].encode())
    with pytest.raises(eif.EifSignatureError, match="cannot be read"):
        eif.Signer(signer().key, b"no certificate")


def test_the_architecture_stands_in_the_header() -> None:
    """Bit 0 of the flags: aarch64."""
    data = eif.write(KERNEL, "x", RAMDISKS, DESCRIBED, architecture="aarch64", memory=64 << 20, cpus=3)
    image = reader.parse(data)
    assert (data[6:8], image.default_memory, image.default_cpus) == (b"\0\1", 64 << 20, 3)


PEER = os.environ.get("QNSP_EIF_PEER")


@pytest.mark.skipif(not PEER, reason="QNSP_EIF_PEER names no binary of tests/vectors/eif/peer")
def test_aws_s_library_takes_our_signature(tmp_path: Path) -> None:
    """Its verifier reads the image that we signed."""
    path = tmp_path / "ours.eif"
    path.write_bytes(eif.write(KERNEL, VECTOR["cmdline"], RAMDISKS, DESCRIBED, signer=signer()))
    assert PEER is not None
    said = subprocess.run([PEER, "verify", path], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "Ok(())"
