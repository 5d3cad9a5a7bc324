"""`attest reference-values`: whole tuples from what is launched or from evidence, valid in our model, honest about what they cover."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest

from qnsp_policy.cli.main import main
from qnsp_policy.kernel.attestation.nitro_enclave import eif
from qnsp_policy.kernel.attestation.nitro_tpm import pcrs, pe
from qnsp_policy.kernel.attestation.sev_snp.launch import Kernel, LaunchError, launch_digest, vcpu_signature
from qnsp_policy.kernel.attestation.tdx.mrtd import mrtd
from qnsp_policy.pipeline.documents import parse
from qnsp_policy.pipeline.model.kinds.attestation import ReferenceValues
from qnsp_policy.pipeline.model.read import read_document
from qnsp_policy.simulator import nitro, nvidia, snp
from qnsp_policy.testing.images import enclave_image, firmware, program, sigstruct, stub

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
KERNEL, CMDLINE, INIT, APPLICATION = b"kernel" * 100, b"reboot=k panic=30", b"init" * 50, b"app" * 70
SECTIONS = ((1, KERNEL), (2, CMDLINE), (5, b"{}"), (3, INIT), (3, APPLICATION))
TDX_SECTIONS = ((0x2000, 0x2000, 0xFFFFE000, 0x2000, 0, 1), (0, 0, 0x810000, 0x1000, 3, 0), (0, 0, 0, 0x1000, 4, 0))


@pytest.fixture
def make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Writes files, runs the command, returns the document (or what was said) after our own reader took its YAML."""

    def run(files: dict[str, bytes | dict[str, Any]], source: str, *more: str, code: int = 0) -> Any:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        capsys.readouterr()
        line = [
            "attest",
            "reference-values",
            str(tmp_path / source),
            "--now",
            "2026-11-21T12:00:00Z",
            "--format",
            "json",
        ]
        got = main([*line, "--out", str(tmp_path / "out.yaml"), *more])
        said = capsys.readouterr().out
        assert got == code, said
        if code:
            return said
        parsed = parse("out.yaml", (tmp_path / "out.yaml").read_bytes())
        problems: list[Any] = list(parsed.problems)
        document = read_document(parsed.documents[0], problems)
        assert problems == []
        assert isinstance(document, ReferenceValues)
        value = json.loads(said)
        assert parsed.documents[0].value == value
        assert value["spec"]["state"] == "candidate"
        return value["spec"]

    return run


def extended(*parts: bytes) -> str:
    return hashlib.sha384(bytes(48) + hashlib.sha384(b"".join(parts)).digest()).hexdigest()


def test_enclave_image(make: Callable[..., Any]) -> None:
    """PCR0 to PCR2 of an image by AWS's description of them, with what each covers."""
    spec = make({"image.eif": enclave_image(SECTIONS)}, "image.eif")
    assert spec["alternatives"] == [
        {
            "measurements": {
                "pcr0": extended(KERNEL, CMDLINE, INIT, APPLICATION),
                "pcr1": extended(KERNEL, CMDLINE, INIT),
                "pcr2": extended(APPLICATION),
            }
        }
    ]
    assert (spec["attester"], spec["origin"], spec["expires"]) == ("nitro-enclave", "computed", "2027-05-22")
    assert (spec["covers"]["workload"], spec["computedFrom"]["cmdline"]) == ("pcr2", CMDLINE.decode())
    again = make({"launch.json": {"attester": "nitro-enclave", "image": "image.eif"}}, "launch.json")
    assert again["alternatives"] == spec["alternatives"]


def test_signed_enclave_image() -> None:
    """PCR8 is of the certificate that signed; it is in the others' way nowhere."""
    certificate = nitro.mint_pki(NOW).leaf.certificate
    element = {"signing_certificate": list(nvidia.pem(certificate)), "signature": [1, 2]}
    image = eif.parse(enclave_image((*SECTIONS, (4, cbor2.dumps([element])))))
    plain = eif.pcrs(eif.parse(enclave_image(SECTIONS)))
    assert eif.pcrs(image) == {**plain, 8: bytes.fromhex(extended(certificate))}
    with pytest.raises(eif.EifError, match="no certificate"):
        eif.pcrs(eif.parse(enclave_image((*SECTIONS, (4, b"\x80")))))


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (enclave_image(SECTIONS)[:-1], "CRC-32"),
        (enclave_image(SECTIONS, crc=0), "CRC-32"),
        (enclave_image(SECTIONS, version=5), "version 5"),
        (enclave_image(SECTIONS[:2]), "one kernel"),
        (enclave_image((*SECTIONS, (1, b"x"))), "one kernel"),
        (enclave_image((*SECTIONS, (9, b"x"))), "unknown type 9"),
        (enclave_image(())[:548], "0 sections"),
        (b".eif", "no EIF header"),
    ],
)
def test_malformed_images_are_refused(image: bytes, text: str) -> None:
    """An image that is cut, altered or of another format gives no values."""
    with pytest.raises(eif.EifError, match=text):
        eif.parse(image)


def test_snp_direct_boot(make: Callable[..., Any]) -> None:
    """The launch digest of OVMF with hashed kernel, command line and initrd; init data as HOST_DATA."""
    files = {"ovmf.fd": firmware(), "vmlinuz": b"k", "initrd": b"i", "initdata.toml": b"x = 1"}
    inputs = {"attester": "sev-snp", "firmware": "ovmf.fd", "vcpus": 4, "cpu": "EPYC-Milan", "kernel": "vmlinuz"}
    inputs |= {"initrd": "initrd", "cmdline": "ro", "initdata": "initdata.toml", "floors": {"snp": 14}}
    spec = make({**files, "launch.json": inputs}, "launch.json", "--name", "clinic", "--expires", "2027-01-31")
    digest = launch_digest(firmware(), vcpus=4, signature=vcpu_signature(25, 1, 1), kernel=Kernel(b"k", b"i", "ro"))
    (alternative,) = spec["alternatives"]
    assert alternative["measurements"] == {
        "measurement": digest.hex(),
        "hostData": hashlib.sha256(b"x = 1").hexdigest(),
    }
    assert spec["covers"] == {
        "firmware": "measurement",
        "kernel": "measurement",
        "cmdline": "measurement",
        "initrd": "measurement",
        "initdata": "hostData",
    }
    assert spec["expires"] == "2027-01-31"
    assert spec["computedFrom"]["kernelDigest"] == "sha256:" + hashlib.sha256(b"k").hexdigest()


def test_snp_on_ec2_covers_firmware_only(make: Callable[..., Any]) -> None:
    """Without hashed kernel the digest vouches for the firmware and nothing that it loads."""
    inputs = {"attester": "sev-snp", "firmware": "ovmf.fd", "vcpus": 2, "hypervisor": "ec2"}
    spec = make({"ovmf.fd": firmware(sev=((0x800000, 0x1000, 1),)), "launch.json": inputs}, "launch.json")
    assert spec["covers"] == {"firmware": "measurement"}


def measured_by_hand(data: bytes, *, two_pass: bool) -> bytes:
    """MRTD of TDX_SECTIONS, written out once more as the specification says it."""
    out = b""
    add = [b"MEM.PAGE.ADD" + bytes(4) + struct.pack("<Q", 0xFFFFE000 + at) + bytes(104) for at in (0, 0x1000)]
    extends = [
        b"".join(
            b"MR.EXTEND" + bytes(7) + struct.pack("<Q", 0xFFFFE000 + at) + bytes(104) + data[0x2000 + at : 0x2100 + at]
            for at in range(page, page + 0x1000, 0x100)
        )
        for page in (0, 0x1000)
    ]
    out += add[0] + add[1] + extends[0] + extends[1] if two_pass else add[0] + extends[0] + add[1] + extends[1]
    out += b"MEM.PAGE.ADD" + bytes(4) + struct.pack("<Q", 0x810000) + bytes(104)
    return hashlib.sha384(out).digest()


@pytest.mark.parametrize("two_pass", [False, True])
def test_mrtd(two_pass: bool) -> None:
    """Pages are added and extended in the hypervisor's order; permanent memory is not measured."""
    data = firmware(tdx=TDX_SECTIONS)
    assert mrtd(data, two_pass=two_pass) == measured_by_hand(data, two_pass=two_pass)


@pytest.mark.parametrize(
    "sections", [(), ((0, 0, 0x810000, 0x1000, 2, 1),), ((0, 0x9000, 0, 0x9000, 0, 1),), ((0, 1, 1, 0x1000, 0, 1),)]
)
def test_firmware_that_no_td_boots(sections: Any) -> None:
    """No metadata, a measured section without content, one outside the image, or not of whole pages."""
    with pytest.raises(LaunchError):
        mrtd(firmware(tdx=sections))


def test_td_without_a_log_covers_firmware(make: Callable[..., Any]) -> None:
    """MRTD alone vouches for the firmware; what it loads is in no value here."""
    inputs = {"attester": "tdx", "firmware": "td.fd", "pageOrder": "two-pass", "initdata": "i"}
    spec = make({"td.fd": firmware(tdx=TDX_SECTIONS), "i": b"i", "launch.json": inputs}, "launch.json")
    assert spec["covers"] == {"firmware": "mrTd", "initdata": "mrConfigId"}
    assert spec["alternatives"][0]["measurements"]["mrConfigId"] == hashlib.sha384(b"i").hexdigest()


@pytest.mark.parametrize(
    ("initdata", "expected"),
    [
        (b'algorithm = "sha256"', hashlib.sha256(b'algorithm = "sha256"').digest() + bytes(16)),
        (b'algorithm = "sha512"', hashlib.sha512(b'algorithm = "sha512"').digest()[:48]),
        (b"x = 1", hashlib.sha384(b"x = 1").digest()),
    ],
)
def test_init_data_by_its_own_algorithm(make: Callable[..., Any], initdata: bytes, expected: bytes) -> None:
    """MRCONFIGID holds the digest that the init data names, padded or cut, as the runtime puts it there."""
    inputs = {"attester": "tdx", "firmware": "td.fd", "initdata": "i"}
    spec = make({"td.fd": firmware(tdx=TDX_SECTIONS), "i": initdata, "launch.json": inputs}, "launch.json")
    assert spec["alternatives"][0]["measurements"]["mrConfigId"] == expected.hex()


def boot_log() -> bytes:
    """A CC event log as Linux's EFI stub writes it: kernel, command line, initrd, each with a separator before it."""
    body = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, 1) + struct.pack("<HH", 0x000C, 48) + b"\0"
    log = struct.pack("<II", 1, 3) + bytes(20) + struct.pack("<I", len(body)) + body
    separator = hashlib.sha384(bytes(4)).digest()
    wide = "ro quiet\0".encode("utf-16-le")
    events = [(2, 4, separator), (2, 0x80000003, pe.authenticode(program(b"kernel"))), (3, 4, separator)]
    events += [(3, 6, hashlib.sha384(wide).digest()), (3, 6, hashlib.sha384(INIT).digest())]
    for register, kind, digest in events:
        log += struct.pack("<IIIH", register, kind, 1, 0x000C) + digest + struct.pack("<I", 0)
    return log


def test_td_with_a_log_covers_what_the_log_measures(make: Callable[..., Any]) -> None:
    """RTMRs are those of the log, learnt; kernel, command line and initrd that are given must be among its events."""
    files = {"td.fd": firmware(tdx=TDX_SECTIONS), "log": boot_log(), "kernel": program(b"kernel"), "initrd": INIT}
    inputs = {"attester": "tdx", "firmware": "td.fd", "eventLog": "log"}
    spec = make({**files, "launch.json": inputs}, "launch.json")
    assert spec["origin"] == "trust-on-first-use"
    assert spec["covers"] == {"firmware": "mrTd", "kernel": "rtmr1", "cmdline": "rtmr2", "initrd": "rtmr2"}
    held = {**inputs, "kernel": "kernel", "initrd": "initrd", "cmdline": "ro quiet"}
    assert make({**files, "launch.json": held}, "launch.json")["alternatives"] == spec["alternatives"]


def test_enclave_of_sgx(make: Callable[..., Any]) -> None:
    """MRENCLAVE, MRSIGNER and the SVN that the builder signed, as values of a vendor."""
    spec = make(
        {"enclave.so": b"ELF" + sigstruct(), "launch.json": {"attester": "sgx", "sigstruct": "enclave.so"}},
        "launch.json",
    )
    assert (spec["origin"], spec["covers"]) == ("vendor", {"workload": "mrEnclave"})
    (alternative,) = spec["alternatives"]
    assert alternative["measurements"]["mrEnclave"] == sigstruct()[960:992].hex()
    assert (alternative["floors"], alternative["policy"]) == ({"isvSvn": 3}, {"debug": False})


def test_pcr7_is_that_of_a_real_instance() -> None:
    """Secure Boot off with empty variables gives the PCR7 of the recorded NitroTPM document; PCR12 is zero there too."""
    real = json.loads((VECTORS / "nitrotpm/vaportpm_test-nitro-fixture.json").read_bytes())["pcrs"]["sha384"]
    assert pcrs.pcr7().hex() == real["7"]
    assert pcrs.ZERO.hex() == real["12"]


def test_authenticode_leaves_out_what_signing_changes() -> None:
    """Checksum and certificates of a program do not count; its content does."""
    plain = program(b"code")
    assert pcrs.authenticode(program(b"code", signature=b"s" * 64, checksum=7)) == pcrs.authenticode(plain)
    assert pcrs.authenticode(program(b"c0de")) != pcrs.authenticode(plain)
    zeroed = bytearray(plain)
    assert (
        pcrs.authenticode(plain)
        == hashlib.sha384(
            bytes(zeroed[: 0x58 + 64]) + bytes(zeroed[0x58 + 68 : 0x58 + 144]) + bytes(zeroed[0x58 + 152 :])
        ).digest()
    )


def test_instance_that_boots_one_program(make: Callable[..., Any]) -> None:
    """PCR4, PCR7 and PCR12 as one tuple."""
    inputs = {"attester": "nitro-tpm", "boot": ["uki.efi"]}
    spec = make({"uki.efi": program(b"uki"), "launch.json": inputs}, "launch.json")
    assert set(spec["alternatives"][0]["measurements"]) == {"pcr4", "pcr7", "pcr12"}
    assert spec["covers"]["kernel"] == "pcr4"
    again = make({"uki.efi": stub("257"), "launch.json": {**inputs, "cmdline": "ro"}}, "launch.json")
    assert (again["covers"]["cmdline"], again["computedFrom"]["cmdline"]) == ("pcr12", "ro")
    assert again["alternatives"][0]["measurements"]["pcr12"] != spec["alternatives"][0]["measurements"]["pcr12"]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"attester": "sgx", "sigstruct": "fw"}, "0 SIGSTRUCTs"),
        ({"attester": "sgx", "sigstruct": "debug"}, "debug enclave"),
        ({"attester": "abacus"}, "must be one of"),
        ({"attester": "sev-snp", "firmware": "fw", "vcpus": 1}, "`cpu` must be"),
        (
            {"attester": "sev-snp", "firmware": "fw", "vcpus": 1, "cpu": "EPYC-Milan", "cmdline": "x"},
            "measured only with",
        ),
        ({"attester": "sev-snp", "firmware": "fw", "cpu": "EPYC-Milan"}, "`vcpus` is missing"),
        ({"attester": "sev-snp", "firmware": "fw", "vcpus": "1", "cpu": "EPYC-Milan"}, "`vcpus` must be int"),
        ({"attester": "sev-snp", "firmware": "fw", "vcpus": 1, "cpu": "EPYC-Milan", "colour": 1}, "unknown members"),
        ({"attester": "tdx", "firmware": "fw"}, "no TDX metadata"),
        ({"attester": "tdx", "firmware": "fw", "pageOrder": "any"}, "interleaved or two-pass"),
        ({"attester": "nitro-enclave", "image": "fw"}, "no EIF header"),
        ({"attester": "nitro-tpm", "boot": ["fw"]}, "not a PE image"),
        ({"attester": "nitro-tpm", "boot": []}, "must list the boot programs"),
        ({"attester": "nitro-tpm", "boot": ["uki"], "cmdline": "x"}, "does not name itself"),
        ({"attester": "nitro-tpm", "boot": ["uki"], "variables": {"SecureBoot": "on"}}, "exactly where PK is set"),
        ({"attester": "nitro-tpm", "boot": ["uki"], "variables": {"PK": "on"}}, "no certificate of db"),
        ({"attester": "tdx", "firmware": "td", "eventLog": "log", "initrd": "fw"}, "measures another initrd"),
        ({"attester": "tdx", "firmware": "td", "eventLog": "log", "kernel": "fw"}, "not a PE image"),
        ({"attester": "tdx", "firmware": "td", "eventLog": "log", "kernel": "uki"}, "measures another kernel"),
        ({"attester": "tdx", "firmware": "td", "eventLog": "log", "cmdline": "other"}, "measures another cmdline"),
        ({"attester": "tdx", "firmware": "td", "kernel": "uki"}, "unknown members"),
        ({"attester": "tdx", "firmware": "td", "initdata": "md5"}, "names the hash 'md5'"),
        ({"attester": "nitro-tpm", "boot": ["uki"], "variables": {"Boot0000": "on"}}, "no Secure Boot variable"),
        ({"attester": "sev-snp", "firmware": "nowhere", "vcpus": 1}, "nowhere"),
    ],
)
def test_what_cannot_be_computed_is_refused(make: Callable[..., Any], inputs: dict[str, Any], text: str) -> None:
    """No value is guessed: the refusal says what is missing."""
    files: dict[str, bytes | dict[str, Any]] = {
        "fw": firmware(),
        "uki": program(b"u"),
        "on": b"\x01",
        "launch.json": inputs,
    }
    files |= {
        "td": firmware(tdx=TDX_SECTIONS),
        "log": boot_log(),
        "debug": sigstruct(debug=True),
        "md5": b'algorithm = "md5"',
    }
    assert text in make(files, "launch.json", code=1)


def test_learnt_from_evidence_is_marked(make: Callable[..., Any], tmp_path: Path) -> None:
    """Values of verified evidence are trust-on-first-use, with the TCB seen as floors, and what was not checked is noted."""
    pki = snp.mint_pki("Milan", NOW, key_size=2048)
    chip = snp.make_chip(pki, NOW)
    files = {
        "report": chip.report(bytes(64), measurement=b"\x07" * 48),
        "table": snp.certificate_table(chip.certificates()),
        "ark.pem": pki.ark_pem.encode(),
    }
    along = ["--endorsement", f"auxblob={tmp_path / 'table'}", "--anchor", str(tmp_path / "ark.pem")]
    spec = make(files, "report", *along, "--allow-simulated")
    assert spec["origin"] == "trust-on-first-use"
    (alternative,) = spec["alternatives"]
    assert alternative["measurements"]["measurement"] == "07" * 48
    assert alternative["floors"]["microcode"] == 209
    assert "simulated" in alternative["note"]
    assert spec["covers"] == {"firmware": "measurement"}
    assert "QNSP-ATT-APR-003" in make(files, "report", *along, code=7)
    hurt = bytearray(files["report"])
    hurt[0x90] ^= 1
    refused = make({**files, "report": bytes(hurt)}, "report", *along, "--allow-simulated", code=7)
    assert "QNSP-ATT-SNP-052" in refused
