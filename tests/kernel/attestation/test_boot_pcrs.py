"""PCR4, PCR7 and PCR12 of unified kernel images, with Secure Boot off and on, each written out once more as the specifications say it."""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.nitro_tpm import pcrs, pe, secure_boot
from qnsp_policy.kernel.attestation.sev_snp.launch import LaunchError
from qnsp_policy.testing.images import certificate_table, program, signature_list, stub

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OWNER = uuid.UUID("11111111-2222-3333-4444-555555555555").bytes_le
KERNEL = program(b"kernel", tail=b"t" * 5)


class Signer:
    """A certificate with its key; `by` another one, or self-signed."""

    def __init__(self, name: str, by: Signer | None = None) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(by.certificate.subject if by else subject)
        builder = builder.public_key(self.key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(NOW).not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        self.certificate: x509.Certificate = builder.sign(by.key if by else self.key, hashes.SHA256())

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    def signature(self) -> bytes:
        """A PKCS#7 structure with this certificate in it."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(b"x").add_signer(self.certificate, self.key, hashes.SHA256())
        return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])


@pytest.fixture(scope="module")
def signers() -> dict[str, Signer]:
    root = Signer("root")
    return {"root": root, "leaf": Signer("leaf", root), "other": Signer("other")}


def sha(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


def chained(*digests: bytes) -> bytes:
    value = bytes(48)
    for digest in digests:
        value = sha(value + digest)
    return value


def variable(name: str, data: bytes) -> bytes:
    """UEFI_VARIABLE_DATA, hashed: vendor GUID, lengths of name and data, name in UTF-16, data."""
    security = name in {"db", "dbx"}
    guid = "d719b2cb-3d3a-4596-a3bc-dad00e67656f" if security else "8be4df61-93ca-11d2-aa0d-00e098032b8c"
    head = uuid.UUID(guid).bytes_le + struct.pack("<QQ", len(name), len(data))
    return sha(head + b"".join(bytes([ord(letter), 0]) for letter in name) + data)


BOOT = (sha(b"Calling EFI Application from Boot Option"), sha(bytes(4)))


@pytest.mark.parametrize(
    ("version", "secure", "inner"),
    [
        ("251", False, True),
        ("251", True, True),
        ("252", False, True),
        ("252.4-1.fc37", True, False),
        ("257.7-1.fc42", False, True),
        ("257.7", True, False),
        ("258", False, False),
        ("258~rc1", True, False),
    ],
)
def test_whether_firmware_starts_the_inner_kernel(version: str, secure: bool, inner: bool) -> None:
    """The kernel within an image is in PCR4 exactly where its stub starts it by LoadImage."""
    image = stub(version, kernel=KERNEL)
    measured = [*BOOT, pe.authenticode(image), *([pe.authenticode(KERNEL)] if inner else [])]
    assert pcrs.pcr4([image], {"PK": b"pk"} if secure else {}) == chained(*measured)


def test_a_stub_that_does_not_name_itself() -> None:
    """Without its version, what is in PCR4 is unknown: refused, not guessed."""
    image = program(b"stub", sections=[(".linux", KERNEL)])
    with pytest.raises(LaunchError, match="does not name itself"):
        pcrs.pcr4([image])
    other = program(b"stub", sections=[(".linux", KERNEL), (".sdmagic", b"#### LoaderInfo: other 3 ####")])
    with pytest.raises(LaunchError, match="does not name itself"):
        pcrs.pcr4([other])


def test_secure_boot_off() -> None:
    """Five variables and the separator; nothing of a program."""
    empty = [variable(name, b"") for name in ("PK", "KEK", "db", "dbx")]
    assert pcrs.pcr7({}, [stub("258")]) == chained(variable("SecureBoot", b"\0"), *empty, sha(bytes(4)))


@pytest.mark.parametrize("by", ["leaf", "root"])
def test_secure_boot_on(signers: dict[str, Signer], by: str) -> None:
    """The db entry that leads to the signer is measured once after the separator, whether it is the signer's issuer or itself."""
    database = signature_list(signers["other"].der, signers["root"].der, owner=OWNER)
    given = {"PK": b"pk", "KEK": b"kek", "db": database, "dbx": b""}
    images = [stub("257", signature=certificate_table(signers[by].signature())) for _ in range(2)]
    authority = variable("db", OWNER + signers["root"].der)
    expected = chained(
        variable("SecureBoot", b"\1"),
        variable("PK", b"pk"),
        variable("KEK", b"kek"),
        variable("db", database),
        variable("dbx", b""),
        sha(bytes(4)),
        authority,
    )
    assert pcrs.pcr7(given, images) == expected


def test_two_authorities(signers: dict[str, Signer]) -> None:
    """Programs of two signers measure two entries, in the order in which they start."""
    database = signature_list(signers["root"].der, signers["other"].der, owner=OWNER)
    images = [stub("257", signature=certificate_table(signers[by].signature())) for by in ("other", "leaf", "other")]
    first = pcrs.pcr7({"PK": b"pk", "db": database}, images)
    start = [variable("SecureBoot", b"\1"), variable("PK", b"pk"), variable("KEK", b""), variable("db", database)]
    ends = [variable("db", OWNER + signers[by].der) for by in ("other", "root")]
    assert first == chained(*start, variable("dbx", b""), sha(bytes(4)), *ends)


def test_the_first_signature_that_db_knows_counts(signers: dict[str, Signer]) -> None:
    """Of several signatures of a program, the first that leads to db lets it start."""
    table = certificate_table(signers["other"].signature(), signers["leaf"].signature())
    database = signature_list(signers["root"].der)
    assert secure_boot.authority(database, program(b"x", signature=table)) == bytes(16) + signers["root"].der


HASH_LIST = "c1c41626-504c-4092-aca9-41f936934328"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda s: ({"PK": b"pk", "db": signature_list(s["other"].der)}, s["leaf"].signature()),
            "no certificate of db",
        ),
        (lambda s: ({"PK": b"pk", "db": b""}, s["leaf"].signature()), "no certificate of db"),
        (lambda s: ({"PK": b"pk", "db": signature_list(s["root"].der)}, b""), "no certificate of db"),
        (
            lambda s: ({"PK": b"pk", "db": signature_list(bytes(32), kind=HASH_LIST)}, s["leaf"].signature()),
            "no certificate",
        ),
        (lambda s: ({"PK": b"pk", "db": signature_list(s["root"].der)[:-1]}, s["leaf"].signature()), "do not add up"),
        (lambda s: ({"PK": b"pk", "db": signature_list(s["root"].der)[:20]}, s["leaf"].signature()), "cut short"),
        (lambda s: ({"PK": b"pk", "db": signature_list(s["root"].der)}, b"no PKCS#7"), "cannot be read"),
        (lambda s: ({"PK": b"pk", "SecureBoot": b"\0"}, b""), "exactly where PK is set"),
        (lambda s: ({"SecureBoot": b"\1"}, b""), "exactly where PK is set"),
        (lambda s: ({"Boot0000": b"x"}, b""), "no Secure Boot variable"),
    ],
)
def test_what_secure_boot_cannot_measure(
    signers: dict[str, Signer], change: Callable[[dict[str, Signer]], tuple[dict[str, bytes], bytes]], text: str
) -> None:
    """A program that firmware would not start, or variables that contradict each other, are refused with the reason."""
    variables, signature = change(signers)
    image = stub("257", signature=certificate_table(signature) if signature else b"")
    with pytest.raises(LaunchError, match=text):
        pcrs.pcr7(variables, [image])


@pytest.mark.parametrize(
    ("cmdline", "measured"),
    [("ro quiet", "ro quiet"), ("  ro\tquiet \n", "ro quiet"), ("ro\x7fquiet", "ro quiet"), ("ro  quiet", "ro  quiet")],
)
def test_command_line_from_outside(cmdline: str, measured: str) -> None:
    """UTF-16 with its NUL, after the stub has cleaned it."""
    expected = chained(sha(b"".join(bytes([ord(letter), 0]) for letter in measured) + b"\0\0"))
    assert pcrs.pcr12([stub("257")], cmdline, secure=False) == expected


def test_no_command_line_from_outside() -> None:
    """None, or nothing but white space, extends nothing."""
    assert pcrs.pcr12([stub("257")], None, secure=True) == pcrs.pcr12([stub("257")], " \n", secure=False) == bytes(48)


@pytest.mark.parametrize(
    ("programs", "secure", "text"),
    [
        ([stub("257"), stub("257")], False, "one boot program"),
        ([program(b"grub")], False, "does not name itself"),
        ([stub("257", cmdline=b"ro")], True, "takes none from outside"),
    ],
)
def test_command_lines_that_are_not_computed(programs: list[bytes], secure: bool, text: str) -> None:
    """Where a loader or another stub takes part, or the stub ignores the line, the value is refused."""
    with pytest.raises(LaunchError, match=text):
        pcrs.pcr12(programs, "ro", secure=secure)


def test_authenticode_by_hand() -> None:
    """All bytes but checksum, directory entry and certificates; bytes behind the sections count."""
    image = program(
        b"a" * 700, sections=[(".b", b"b" * 10)], tail=b"tail", checksum=9, signature=certificate_table(b"s" * 20)
    )
    bare = image[: len(image) - len(certificate_table(b"s" * 20))]
    expected = sha(bare[: 0x58 + 64] + bare[0x58 + 68 : 0x58 + 144] + bare[0x58 + 152 :])
    assert pe.authenticode(image) == expected


@given(st.binary(max_size=200), st.integers(0, 1500))
def test_any_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    """On any program and any database the readers raise only their own error."""
    image = bytearray(stub("257", signature=certificate_table(b"s" * 40)))
    image[at : at + len(noise)] = noise
    judges: list[Callable[[], bytes]] = [
        lambda: pcrs.pcr4([bytes(image)]),
        lambda: pcrs.pcr7({"PK": b"k", "db": noise}, [bytes(image)]),
        lambda: pcrs.pcr12([bytes(image)], "ro", secure=True),
    ]
    for judge in judges:
        try:
            assert len(judge()) == 48
        except LaunchError:
            continue
