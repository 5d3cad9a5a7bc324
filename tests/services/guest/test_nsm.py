"""`/dev/nsm`: the ioctl itself against a device that is preloaded, the messages against a simulated module and against nonsense."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cbor2
import pytest

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.nitro_enclave.verify import verify
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, Evidence, EvidenceKind
from qnsp_policy.kernel.wire import nsm as messages
from qnsp_policy.services.guest.attesters import nsm
from qnsp_policy.simulator import nitro
from qnsp_policy.simulator.nitro_devices import DeviceSocket, SimulatedNsm

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def pki() -> nitro.NitroPki:
    return nitro.mint_pki(NOW)


@pytest.fixture
def module(pki: nitro.NitroPki) -> SimulatedNsm:
    return SimulatedNsm(pki, lambda: NOW)


@pytest.fixture
def device(module: SimulatedNsm, tmp_path: Path) -> Iterator[Path]:
    served = DeviceSocket(tmp_path / "nsm", module.exchange)
    yield served.path
    served.close()


def test_a_document_carries_what_was_asked_and_verifies(device: Path, pki: nitro.NitroPki) -> None:
    """Report data stands in user_data as it is: 48 bytes stay 48."""
    report = nsm.get_report(nsm.exchange_with(device), b"\x07" * 48)
    anchor = Anchor("aws", pki.bundle[0], AssuranceClass.SIMULATED)
    claims = verify(Evidence(report.kind, report.data), collateral=Collateral(), anchors=[anchor], now=NOW)
    assert (claims.kind, claims.report_data) == (EvidenceKind.NITRO_ENCLAVE, b"\x07" * 48)


def test_a_public_key_and_a_nonce_travel_too(device: Path) -> None:
    """KMS wants the key; a caller may want its nonce."""
    document = nsm.attestation_document(nsm.exchange_with(device), nonce=b"n" * 32, public_key=b"k" * 550)
    payload = cbor2.loads(cbor2.loads(document)[2])
    assert (payload["nonce"], payload["public_key"], payload["user_data"]) == (b"n" * 32, b"k" * 550, None)


def test_registers_and_entropy(module: SimulatedNsm) -> None:
    """The other two requests that a guest makes."""
    value, locked = messages.read_pcr(module.exchange(messages.describe_pcr_request(0)))
    assert (len(value), locked) == (48, True)
    assert len(messages.read_random(module.exchange(messages.get_random_request()))) == 256


@pytest.mark.parametrize("name", sorted(messages.LIMITS))
def test_a_field_over_its_limit_is_refused_before_it_is_sent(name: str) -> None:
    """512 bytes of user data and nonce, 1024 of public key."""
    with pytest.raises(OperatorError, match="QNSP-GST-040"):
        messages.attestation_request(**{name: bytes(messages.LIMITS[name] + 1)})
    assert messages.attestation_request(**{name: bytes(messages.LIMITS[name])})


def test_a_register_that_does_not_exist_is_refused() -> None:
    """0 to 31."""
    for index in (-1, 32):
        with pytest.raises(OperatorError, match="QNSP-GST-040"):
            messages.describe_pcr_request(index)


@pytest.mark.parametrize("code", sorted(messages.ERRORS))
def test_every_error_code_is_told(code: str) -> None:
    """The module's own word stands in the message."""
    with pytest.raises(PeerError, match=f"QNSP-GST-042: .*{code}"):
        messages.read_attestation(messages.error(code))


def test_an_unknown_error_code_is_not_printed() -> None:
    """What a device says is data, not text for a terminal."""
    with pytest.raises(PeerError, match=r"QNSP-GST-042: .*unknown error code"):
        messages.read_attestation(cbor2.dumps({"Error": "\x1b[2J"}))


GOOD = messages.answer("Attestation", {"document": b"d" * 100})
BAD = {
    "empty": b"",
    "not-cbor": b"\xff\xff",
    "cut": GOOD[:-1],
    "followed": GOOD + b"\0",
    "text": cbor2.dumps("Attestation"),
    "list": cbor2.dumps([GOOD]),
    "another-answer": messages.answer("GetRandom", {"random": b"r"}),
    "two-answers": cbor2.dumps({"Attestation": {"document": b"d"}, "GetRandom": {}}),
    "no-document": messages.answer("Attestation", {}),
    "document-as-text": messages.answer("Attestation", {"document": "d"}),
    "empty-document": messages.answer("Attestation", {"document": b""}),
    "member-beside-it": messages.answer("Attestation", {"document": b"d", "more": 1}),
    "tag": cbor2.dumps(cbor2.CBORTag(258, [1])),
    "duplicate-key": b"\xa2" + GOOD[1:] + GOOD[1:],
    "deep": b"\x81" * 200 + b"\0",
    "too-long": messages.answer("Attestation", {"document": bytes(messages.MAX_RESPONSE)}),
}


@pytest.mark.parametrize("name", BAD)
def test_nonsense_is_refused(name: str) -> None:
    """Only one shape of an answer is a document."""
    with pytest.raises(PeerError, match="QNSP-GST-041"):
        messages.read_attestation(BAD[name])


def test_random_bytes_are_our_error_and_nothing_else() -> None:
    """Whatever a module answers, a guest ends with a code of ours."""
    for seed in range(2000):
        data = bytes((seed * 7 + index * index * 13) & 0xFF for index in range(seed % 60))
        with pytest.raises(PeerError, match=r"QNSP-GST-04[12]"):
            messages.read_attestation(data)


def test_a_device_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    """A missing device says where a guest would find one; a plain file is none; another device does not speak the ioctl."""
    with pytest.raises(OperatorError, match="QNSP-GST-043") as refused:
        nsm.exchange_with(tmp_path / "nsm")
    assert "Nitro enclave" in (refused.value.next_step or "")
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=r"QNSP-GST-043: .* neither"):
        nsm.exchange_with(tmp_path / "file")
    with pytest.raises(OperatorError, match="QNSP-GST-043: /dev/null"):
        nsm.attestation_document(nsm.exchange_with(Path("/dev/null")))


SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct nsm_iovec { uint64_t addr; uint64_t len; };
struct nsm_raw { struct nsm_iovec request; struct nsm_iovec response; };
int ioctl(int fd, unsigned long request, ...) {
  va_list list; va_start(list, request);
  struct nsm_raw *raw = va_arg(list, struct nsm_raw *); va_end(list);
  if ((uint32_t)request != 0xC0200A00u) {
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, raw);
  }
  if (getenv("NSM_ERRNO")) { errno = atoi(getenv("NSM_ERRNO")); return -1; }
  if (raw->request.len > 0x1000 || raw->response.len != 0x3000) { errno = EMSGSIZE; return -1; }
  FILE *sent = fopen(getenv("NSM_REQUEST"), "wb");
  fwrite((void *)(uintptr_t)raw->request.addr, 1, raw->request.len, sent); fclose(sent);
  FILE *held = fopen(getenv("NSM_ANSWER"), "rb");
  raw->response.len = fread((void *)(uintptr_t)raw->response.addr, 1, raw->response.len, held); fclose(held);
  if (getenv("NSM_LENGTH")) raw->response.len = strtoull(getenv("NSM_LENGTH"), 0, 0);
  return 0;
}
"""
ASK = """
import sys
from pathlib import Path
from qnsp_policy.errors import QnspError
from qnsp_policy.services.guest.attesters import nsm
try:
    sys.stdout.buffer.write(nsm.attestation_document(nsm.exchange_with(Path("/dev/null")), user_data=b"u" * 64))
except QnspError as error:
    sys.stdout.write(f"{error} / {error.next_step}")
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that answers the ioctl as the driver does (uapi/linux/nsm.h), preloaded into a guest."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here: the ioctl is not tried against a driver's view of it")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c", "-ldl"], check=True)
    return folder / "shim.so"


def ask(shim: Path, folder: Path, answer: bytes, **settings: str) -> tuple[bytes, bytes]:
    (folder / "answer").write_bytes(answer)
    files = {"NSM_REQUEST": str(folder / "request"), "NSM_ANSWER": str(folder / "answer")}
    # A path with a space would be two in LD_PRELOAD.
    preloaded = {"LD_PRELOAD": shim.name, "LD_LIBRARY_PATH": str(shim.parent)}
    environment = {**os.environ, **preloaded, **files, **settings}
    ended = subprocess.run([sys.executable, "-c", ASK], env=environment, check=True, capture_output=True)
    request = folder / "request"
    return ended.stdout, request.read_bytes() if request.exists() else b""


def test_the_ioctl_is_the_driver_s(shim: Path, tmp_path: Path) -> None:
    """Number, structure, addresses and the length that comes back, as the driver reads and writes them."""
    document, request = ask(shim, tmp_path, GOOD)
    assert document == b"d" * 100
    assert cbor2.loads(request) == {"Attestation": {"user_data": b"u" * 64, "nonce": None, "public_key": None}}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"NSM_ERRNO": "1"},
            b"QNSP-GST-043: /dev/null cannot be used: Operation not permitted / the raw interface needs",
        ),
        ({"NSM_ERRNO": "90"}, b"QNSP-GST-043: /dev/null cannot be used: Message too long / the request is larger"),
        ({"NSM_LENGTH": "0"}, b"QNSP-GST-041: Nitro Secure Module: an answer of 0 bytes"),
        ({"NSM_LENGTH": "0x3001"}, b"QNSP-GST-041: Nitro Secure Module: an answer of 12289 bytes"),
        ({"NSM_LENGTH": "50"}, b"QNSP-GST-041: Nitro Secure Module: the answer is not CBOR"),
    ],
    ids=["not-root", "too-large", "no-answer", "longer-than-the-buffer", "cut"],
)
def test_a_driver_that_refuses_or_lies(shim: Path, tmp_path: Path, settings: dict[str, str], said: bytes) -> None:
    """A length beyond the buffer is never believed."""
    assert ask(shim, tmp_path, GOOD, **settings)[0].startswith(said)
