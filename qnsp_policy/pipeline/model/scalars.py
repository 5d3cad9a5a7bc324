"""The scalar types of documents: text that carries a unit, a date, a digest, an address; each knows its own shape.

All of them are `str`, so a document is written back as its author wrote it; what it means is a property.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, NewType

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic import Strict as _Strict
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

API_VERSION = "qnsp.policy/v1"

Address = NewType("Address", str)
"""`Kind/name` of a document."""

MAX_TEXT = 16 * 1024
"""Characters in one text field, certificates apart."""


class Part(BaseModel):
    """Base of everything inside a document: frozen, unknown fields refused, camelCase in YAML, snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        defer_build=True,
        hide_input_in_errors=True,
    )


class TextValue(str):
    """Text of one shape; subclasses say which."""

    __slots__ = ()
    SHAPE: ClassVar[str] = "text"
    PATTERN: ClassVar[str] = r"\S(?:.*\S)?"
    MAX: ClassVar[int] = 512
    _compiled: ClassVar[re.Pattern[str]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._compiled = re.compile(cls.PATTERN)

    @classmethod
    def check(cls, text: str) -> None:
        """Refuse what the pattern lets through but the type cannot mean.

        Raises:
            ValueError: with what is wrong.
        """

    @classmethod
    def parse(cls, text: str) -> TextValue:
        """The text as this type.

        Raises:
            PydanticCustomError: QNSP-DOC-021, it has another shape.
        """
        if len(text) > cls.MAX or not cls._compiled.fullmatch(text):
            raise PydanticCustomError("QNSP-DOC-021", "expected {shape}", {"shape": cls.SHAPE})
        try:
            cls.check(text)
        except ValueError as error:
            raise PydanticCustomError(
                "QNSP-DOC-021", "expected {shape}: {why}", {"shape": cls.SHAPE, "why": str(error)}
            ) from error
        return cls(text)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls.parse, core_schema.str_schema(strict=True), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "maxLength": cls.MAX, "pattern": f"^(?:{cls.PATTERN})$", "description": cls.SHAPE}


class Name(TextValue):
    """A DNS label (RFC 1123 section 2.1)."""

    __slots__ = ()
    SHAPE = "a DNS label: lower-case letters, digits and inner hyphens, at most 63 characters"
    PATTERN = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
    MAX = 63


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Duration(TextValue):
    """A length of time: a whole number with s, m, h, d or w."""

    __slots__ = ()
    SHAPE = "a length of time such as 30s, 15m, 12h, 30d, 4w"
    PATTERN = r"[1-9][0-9]{0,8}[smhdw]"
    MAX = 10

    @property
    def seconds(self) -> int:
        """Its length in seconds."""
        return int(self[:-1]) * _SECONDS[self[-1]]

    @property
    def delta(self) -> timedelta:
        """Its length as a timedelta."""
        return timedelta(seconds=self.seconds)


class Rotation(TextValue):
    """When a key is replaced: after a length of time, or at every version, connection or request."""

    __slots__ = ()
    SHAPE = "a length of time such as 30d, or per-version, per-connection, per-request"
    PATTERN = r"[1-9][0-9]{0,8}[smhdw]|per-version|per-connection|per-request"
    MAX = 16

    @property
    def seconds(self) -> int | None:
        """Its length in seconds, or None where it follows an event."""
        return None if self.startswith("per-") else int(self[:-1]) * _SECONDS[self[-1]]


_BYTES = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Size(TextValue):
    """A number of bytes with a binary or decimal unit."""

    __slots__ = ()
    SHAPE = "a number of bytes such as 512Mi, 64Gi, 2T"
    PATTERN = r"[1-9][0-9]{0,11}(?:Ki|Mi|Gi|Ti|k|M|G|T)"
    MAX = 16

    @property
    def bytes(self) -> int:
        """Its size in bytes."""
        digits = self.rstrip("KiMGTk")
        return int(digits) * _BYTES[self[len(digits) :]]


_COUNTS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Quantity(TextValue):
    """A count, with a decimal unit if it is large; a plain number is taken as it is."""

    __slots__ = ()
    SHAPE = "a count such as 600, 20k, 2M"
    PATTERN = r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,3})?[kMGT]?"
    MAX = 24

    @classmethod
    def check(cls, text: str) -> None:
        if cls(text).exact % 1:
            raise ValueError("it must come to a whole number")

    @property
    def exact(self) -> Decimal:
        """What it says, before it is known to be whole."""
        digits = self.rstrip("kMGT")
        return Decimal(digits) * _COUNTS[self[len(digits) :]]

    @property
    def number(self) -> int:
        """What it counts to."""
        return int(self.exact)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        def from_number(value: Any) -> Any:
            if isinstance(value, int) and not isinstance(value, bool):
                if value < 0:
                    raise PydanticCustomError("QNSP-DOC-021", "expected {shape}", {"shape": cls.SHAPE})
                return str(value)
            return value

        return core_schema.no_info_before_validator_function(
            from_number,
            core_schema.no_info_after_validator_function(cls.parse, core_schema.str_schema(strict=True)),
            serialization=core_schema.to_string_ser_schema(),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        text = {"type": "string", "maxLength": cls.MAX, "pattern": f"^(?:{cls.PATTERN})$"}
        return {"anyOf": [{"type": "integer", "minimum": 0}, text], "description": cls.SHAPE}


class Moment(TextValue):
    """A date, or a time of RFC 3339 in UTC with whole seconds."""

    __slots__ = ()
    SHAPE = "a date such as 2027-11-21 or a time such as 2027-11-21T08:00:00Z"
    PATTERN = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?"
    MAX = 20

    @classmethod
    def check(cls, text: str) -> None:
        date.fromisoformat(text[:10])
        if len(text) > 10:
            datetime.fromisoformat(text)

    @property
    def at(self) -> datetime:
        """The moment it names, aware in UTC; a date is its first second."""
        if len(self) > 10:
            return datetime.fromisoformat(self).astimezone(UTC)
        return datetime.combine(date.fromisoformat(self), datetime.min.time(), UTC)


class Expiry(Moment):
    """The last moment of something: a date is inclusive, so it lasts until that day's last second in UTC."""

    __slots__ = ()

    @property
    def at(self) -> datetime:
        """The last moment at which it still holds, aware in UTC."""
        if len(self) > 10:
            return datetime.fromisoformat(self).astimezone(UTC)
        return datetime.combine(date.fromisoformat(self), datetime.max.time(), UTC).replace(microsecond=0)


class Digest(TextValue):
    """A digest as text: algorithm, colon, lower-case hex."""

    __slots__ = ()
    SHAPE = "a digest such as sha256:<64 lower-case hex digits>"
    PATTERN = r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
    MAX = 135


class Hex(TextValue):
    """Bytes as lower-case hex."""

    __slots__ = ()
    SHAPE = "bytes as lower-case hex digits"
    PATTERN = r"(?:[0-9a-f]{2}){1,128}"
    MAX = 256


class RelativePath(TextValue):
    """A path inside the workspace."""

    __slots__ = ()
    SHAPE = "a path inside the workspace, with forward slashes, such as artefacts/minilm.sealed"
    PATTERN = r"[^/\\:\x00-\x1f][^\\:\x00-\x1f]*"
    MAX = 1024

    @classmethod
    def check(cls, text: str) -> None:
        if any(part in ("", "..") for part in text.rstrip("/").split("/")):
            raise ValueError("it must not leave the workspace or hold empty parts")


class Location(TextValue):
    """Where an artefact lies: a path inside the workspace or a URL of a store."""

    __slots__ = ()
    SHAPE = "a path inside the workspace or a URL (https, s3, gs, azblob, oci)"
    PATTERN = r"(?:https|s3|gs|azblob|oci)://[^\s@?#]+|[^/\\:\s\x00-\x1f][^\\:\x00-\x1f]*"
    MAX = 1024

    @classmethod
    def check(cls, text: str) -> None:
        if ".." in text.split("/"):
            raise ValueError("it must not hold `..`")


class ResourcePath(TextValue):
    """A resource at a broker: tenant, type and tag; `*` as the tag is a wildcard."""

    __slots__ = ()
    SHAPE = "a resource <tenant>/<type>/<tag> such as clinic/model/minilm"
    PATTERN = (
        r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?/[a-z0-9](?:[a-z0-9-]*[a-z0-9])?/(?:\*|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)"
    )
    MAX = 200

    @property
    def tenant(self) -> str:
        """The name of the tenant it belongs to."""
        return self.split("/", 1)[0]

    @property
    def key(self) -> str:
        """Its name under the tenant, e.g. `model/minilm`."""
        return self.split("/", 1)[1]

    @property
    def wildcard(self) -> bool:
        """Whether it stands for more than one resource."""
        return self.endswith("/*")


class KeyName(TextValue):
    """The name of a key under its tenant: type and tag."""

    __slots__ = ()
    SHAPE = "a key name <type>/<tag> such as model/minilm"
    PATTERN = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?/[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?"
    MAX = 136


class IdentityName(TextValue):
    """The name of an identity of the TrustRoot."""

    __slots__ = ()
    SHAPE = "the name of an identity such as alice@clinic.example"
    PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._:/+-]*[A-Za-z0-9])?(?:@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)?"
    MAX = 254


class HostPort(TextValue):
    """An address to listen on."""

    __slots__ = ()
    SHAPE = "a host and a port such as 127.0.0.1:8443"
    PATTERN = r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}"
    MAX = 262

    @classmethod
    def check(cls, text: str) -> None:
        if not 0 <= int(text.rpartition(":")[2]) <= 65535:
            raise ValueError("a port is at most 65535")


class AlgorithmName(TextValue):
    """An algorithm, spelled as its standard spells it."""

    __slots__ = ()
    SHAPE = "an algorithm such as ML-DSA-65"
    PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9+._/-]*[A-Za-z0-9])?"
    MAX = 64


class Word(TextValue):
    """A short free text in one line."""

    __slots__ = ()
    SHAPE = "a short text in one line"
    PATTERN = r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{1,253}"
    MAX = 253


class _Key(TextValue):
    """The key of a mapping that authors name freely: one word, printable anywhere."""

    __slots__ = ()
    SHAPE = "a key of letters, digits and . _ / -"
    PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
    MAX = 253


Key = Annotated[str, AfterValidator(_Key.parse)]
"""A key that authors name: labels, tags, claims, components, files."""


class Sentence(TextValue):
    """A text that says something; several lines are fine."""

    __slots__ = ()
    SHAPE = "a text"
    PATTERN = r"(?s)[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+"
    MAX = MAX_TEXT

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": cls.MAX, "description": cls.SHAPE}


class Pem(TextValue):
    """One certificate in PEM."""

    __slots__ = ()
    SHAPE = "one certificate in PEM"
    PATTERN = r"(?s)-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----\s*"
    MAX = 32 * 1024

    @classmethod
    def check(cls, text: str) -> None:
        try:
            base64.b64decode("".join(text.strip().splitlines()[1:-1]), validate=True)
        except binascii.Error as error:
            raise ValueError("its base64 is broken") from error

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "string",
            "maxLength": cls.MAX,
            "pattern": "^-----BEGIN CERTIFICATE-----",
            "description": cls.SHAPE,
        }

    @property
    def der(self) -> bytes:
        """The certificate's DER bytes."""
        return base64.b64decode("".join(self.strip().splitlines()[1:-1]))


_PRIVATE_MEMBERS = frozenset({"d", "priv", "k", "p", "q", "dp", "dq", "qi", "oth", "seed"})
_KEY_TYPES = frozenset({"AKP", "OKP", "EC", "RSA"})
_B64URL = re.compile(r"[A-Za-z0-9_-]+")


def _jwk(value: Any) -> Any:
    if not isinstance(value, dict):
        raise PydanticCustomError("QNSP-DOC-018", "expected a public JWK, which is a mapping")
    private = sorted(_PRIVATE_MEMBERS & value.keys())
    if private:
        raise PydanticCustomError(
            "QNSP-DOC-038",
            "this JWK holds private key material (member `{member}`)",
            {"member": private[0]},
        )
    if not all(isinstance(key, str) and isinstance(member, str) for key, member in value.items()):
        raise PydanticCustomError("QNSP-DOC-021", "expected a public JWK whose members are text")
    if value.get("kty") not in _KEY_TYPES:
        raise PydanticCustomError("QNSP-DOC-021", "expected a public JWK with kty AKP, OKP, EC or RSA")
    needed = {"AKP": ("alg", "pub"), "OKP": ("crv", "x"), "EC": ("crv", "x", "y"), "RSA": ("n", "e")}[value["kty"]]
    for member in needed:
        if member not in value:
            raise PydanticCustomError(
                "QNSP-DOC-021", "expected a public JWK: member `{member}` is missing", {"member": member}
            )
        if member in ("pub", "x", "y", "n", "e") and not _B64URL.fullmatch(value[member]):
            raise PydanticCustomError(
                "QNSP-DOC-021", "expected a public JWK: member `{member}` is not base64url", {"member": member}
            )
    return value


Jwk = Annotated[
    Mapping[str, str],
    BeforeValidator(_jwk),
    Field(json_schema_extra={"required": ["kty"], "not": {"anyOf": [{"required": [m]} for m in ("d", "priv", "k")]}}),
]
"""A public key as JWK (RFC 7517, RFC 9964); private members are refused."""

Int = Annotated[int, _Strict(strict=True), Field(ge=0, le=2**53 - 1)]
"""A whole number, not negative; true is none."""

Count = Annotated[int, _Strict(strict=True), Field(ge=1, le=100_000)]
"""A whole number from 1."""

Bool = Annotated[bool, _Strict(strict=True)]
"""true or false, nothing that merely looks like it."""

__all__ = [
    "API_VERSION",
    "Address",
    "AlgorithmName",
    "Bool",
    "Count",
    "Digest",
    "Duration",
    "Expiry",
    "Hex",
    "HostPort",
    "IdentityName",
    "Int",
    "Jwk",
    "Key",
    "KeyName",
    "Location",
    "Moment",
    "Name",
    "Part",
    "Pem",
    "Quantity",
    "RelativePath",
    "ResourcePath",
    "Rotation",
    "Sentence",
    "Size",
    "TextValue",
    "Word",
]
