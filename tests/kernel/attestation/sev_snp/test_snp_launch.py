"""The launch digest agrees with an independent tool over synthetic firmware, and refuses firmware that cannot be launched so."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.sev_snp.launch import Hypervisor, Kernel, LaunchError, launch_digest, vcpu_signature

SECTIONS = (
    (0x800000, 0x9000, 1),
    (0x80D000, 0x1000, 2),
    (0x80E000, 0x1000, 3),
    (0x80F000, 0x1000, 4),
    (0x810000, 0x1000, 0x10),
    (0x811000, 0x2000, 1),
)


def firmware(
    sections: tuple[tuple[int, int, int], ...] = SECTIONS, *, drop: str = "", pages: int = 3, version: int = 1
) -> bytes:
    """A synthetic OVMF: pages of a pattern, SEV metadata, GUID table. `drop` leaves out an entry."""
    data = bytearray((index * 7 + index // 4096) & 0xFF for index in range(pages * 4096))
    metadata = b"ASEV" + struct.pack("<III", 16 + 12 * len(sections), version, len(sections))
    metadata += b"".join(struct.pack("<III", *section) for section in sections)
    at = 4096
    data[at : at + len(metadata)] = metadata
    entries = {
        "7255371f-3a3b-4b04-927b-1da6efa8d454": struct.pack("<II", 0x810C00, 0x400),
        "00f771de-1a7e-4fcb-890e-68c77e2fb44e": struct.pack("<I", 0x0080B004),
        "dc886566-984a-4798-a75e-5585a7bf67cc": struct.pack("<I", len(data) - at),
    }
    table = b""
    for guid, content in entries.items():
        if guid != drop:
            table += content + struct.pack("<H", len(content) + 18) + uuid.UUID(guid).bytes_le
    table += struct.pack("<H", len(table) + 18) + uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    end = len(data) - 32
    data[end - len(table) : end] = table
    return bytes(data)


def arguments(case: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `launch_digest` for a case of the vector file."""
    kernel = Kernel(case["kernel"].encode(), case["initrd"].encode(), case["cmdline"]) if case["kernel"] else None
    return {
        "vcpus": case["vcpus"],
        "signature": vcpu_signature(*case["cpu"]),
        "hypervisor": Hypervisor(case["hypervisor"]),
        "features": case["features"],
        "kernel": kernel,
    }


def test_same_digest_as_sev_snp_measure(vector: Callable[[str], bytes]) -> None:
    """Every case that sev-snp-measure computed over this firmware has the same digest here."""
    cases = json.loads(vector("snp/generated_launch_digests.json"))["cases"]
    assert len(cases) >= 20
    for case in cases:
        assert launch_digest(firmware(), **arguments(case)).hex() == case["digest"], case


def test_every_input_counts() -> None:
    """Firmware, vCPUs, signature, features, kernel, initrd and command line each change the digest."""
    kernel = Kernel(b"k", b"i", "c")
    base: dict[str, Any] = {"vcpus": 2, "signature": vcpu_signature(25, 1, 1), "kernel": kernel}
    changed: list[dict[str, Any]] = [
        {"vcpus": 3},
        {"signature": vcpu_signature(25, 17, 0)},
        {"features": 0x21},
        {"kernel": None},
        {"kernel": Kernel(b"x", b"i", "c")},
        {"kernel": Kernel(b"k", b"x", "c")},
        {"kernel": Kernel(b"k", b"i", "x")},
        {"hypervisor": Hypervisor.EC2},
        {"hypervisor": Hypervisor.GCE},
    ]
    digests = {launch_digest(firmware(), **{**base, **change}) for change in ({}, *changed)}
    assert len(digests) == len(changed) + 1
    assert launch_digest(firmware(pages=4), **base) not in digests


def test_signatures_of_known_models() -> None:
    """CPU signatures of the lines that QEMU names."""
    assert [vcpu_signature(*cpu) for cpu in ((25, 1, 1), (25, 17, 0), (26, 2, 1), (23, 49, 0))] == [
        0xA00F11,
        0xA10F10,
        0xB00F21,
        0x830F10,
    ]


@pytest.mark.parametrize(
    ("image", "options", "text"),
    [
        (b"", {}, "whole pages"),
        (firmware()[:-1], {}, "whole pages"),
        (bytes(4096), {}, "no GUID table"),
        (firmware(version=2), {}, "not well formed"),
        (firmware(((0, 0x800, 1),)), {}, "whole pages"),
        (firmware(((0, 0x1000, 9),)), {}, "unknown type 9"),
        (firmware(drop="00f771de-1a7e-4fcb-890e-68c77e2fb44e"), {"vcpus": 2}, "reset block"),
        (firmware(drop="7255371f-3a3b-4b04-927b-1da6efa8d454"), {"kernel": Kernel(b"k")}, "no place"),
        (firmware(SECTIONS[:4]), {"kernel": Kernel(b"k")}, "measures none"),
        (firmware(), {"vcpus": 0}, "vCPUs"),
        (firmware(), {"vcpus": 5000}, "vCPUs"),
    ],
)  # fmt: skip
def test_firmware_that_cannot_be_launched_so(image: bytes, options: dict[str, Any], text: str) -> None:
    """Firmware of another form, or inputs that it cannot measure, are refused with the reason."""
    with pytest.raises(LaunchError, match=text):
        launch_digest(image, **{"vcpus": 1, "signature": 0, **options})


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=100, max_size=300), st.integers(0, 3800))
def test_any_firmware_is_measured_or_refused(noise: bytes, offset: int) -> None:
    """On any bytes in table or metadata the reader raises only its own error."""
    image = bytearray(firmware())
    for at in (4096, len(image) - 32 - len(noise), offset):
        changed = bytearray(image)
        changed[at : at + len(noise)] = noise
        try:
            launch_digest(bytes(changed), vcpus=2, signature=0, kernel=Kernel(b"k"))
        except LaunchError:
            continue
