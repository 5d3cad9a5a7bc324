"""A recipe of an image: which files go into it, each by its digest (docs/formats/images.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object

FORMAT = "qnsp.image/v1"
DEFAULT_CMDLINE = "reboot=k panic=30 pci=off nomodules random.trust_cpu=on root=/dev/ram0"
"""AWS's own for enclaves, without its console: what an enclave prints is nobody's business outside debug mode."""
_DIGEST = r"^sha256:[0-9a-f]{64}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class FileInput(_Part):
    """A file, relative to the recipe, and what it must be."""

    file: str
    digest: str | None = Field(default=None, pattern=_DIGEST)


class RootInput(_Part):
    """The root file system: an OCI layout in a tar and its manifest's digest, or a folder and its tree's."""

    oci: str | None = None
    folder: str | None = None
    digest: str | None = Field(default=None, pattern=_DIGEST)

    @model_validator(mode="after")
    def _one_of_them(self) -> RootInput:
        if (self.oci is None) == (self.folder is None):
            raise ValueError("give `oci` or `folder`")
        return self


class AddedFile(FileInput):
    """A file that is put into the root file system over what is there."""

    path: str
    executable: bool = False


class SigningFiles(_Part):
    """The P-384 key and the certificate that sign PCR0; the certificate makes PCR8."""

    key: str
    certificate: str


class EnclaveRecipe(_Part):
    """An enclave image (EIF)."""

    format: Literal["qnsp.image/v1"]
    kind: Literal["nitro-enclave"]
    name: str = Field(min_length=1, max_length=128)
    version: str = "1"
    architecture: Literal["x86_64", "aarch64"] = "x86_64"
    kernel: FileInput
    kernel_version: str = ""
    init: FileInput
    modules: tuple[FileInput, ...] = ()
    cmdline: str = Field(default=DEFAULT_CMDLINE, max_length=2048)
    root: RootInput
    files: tuple[AddedFile, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    memory_mebibytes: int = Field(default=1024, ge=64, le=1 << 20)
    cpus: int = Field(default=2, ge=1, le=256)
    signature: SigningFiles | None = None

    def inputs(self) -> Iterator[tuple[tuple[str | int, ...], FileInput]]:
        """Every plain file and where it stands in the recipe."""
        yield ("kernel",), self.kernel
        yield ("init",), self.init
        for index, module in enumerate(self.modules):
            yield ("modules", index), module
        for index, added in enumerate(self.files):
            yield ("files", index), added


class AttestableRecipe(_Part):
    """An attestable AMI: what is measured of it, and how it is registered. It is not built here."""

    format: Literal["qnsp.image/v1"]
    kind: Literal["nitro-tpm"]
    name: str = Field(min_length=1, max_length=128)
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    boot: tuple[FileInput, ...] = Field(min_length=1)
    variables: dict[str, FileInput] = Field(default_factory=dict)
    disk: FileInput

    def inputs(self) -> Iterator[tuple[tuple[str | int, ...], FileInput]]:
        """Every plain file and where it stands in the recipe."""
        for index, program in enumerate(self.boot):
            yield ("boot", index), program
        for name, variable in self.variables.items():
            yield ("variables", name), variable
        yield ("disk",), self.disk


Recipe = Annotated[EnclaveRecipe | AttestableRecipe, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[EnclaveRecipe | AttestableRecipe] = TypeAdapter(Recipe)


def read_recipe(path: Path) -> EnclaveRecipe | AttestableRecipe:
    """The recipe of a file.

    Raises:
        OperatorError: `QNSP-OPS-130`: it is none, with every member that is wrong.
    """
    try:
        return _ADAPTER.validate_python(parse_object(path.read_bytes()))
    except ValidationError as error:
        kinds = {"nitro-enclave", "nitro-tpm"}
        problems = "; ".join(
            f"{'.'.join(str(part) for part in one['loc'] if part not in kinds) or 'recipe'}: {one['msg']}"
            for one in error.errors()
        )
    except (CanonicalJsonError, OSError) as error:
        problems = str(error)
    raise OperatorError(
        "QNSP-OPS-130", f"{path}: {problems}", subject=str(path), next_step="see docs/formats/images.md"
    )


def pinned(path: Path, digests: dict[tuple[str | int, ...], str]) -> str:
    """The recipe's text with these digests written into it, at the places that hold inputs."""
    value: dict[str, Any] = json.loads(path.read_text())
    for place, digest in digests.items():
        target: Any = value
        for part in place:
            target = target[part]
        target["digest"] = digest
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


__all__ = [
    "DEFAULT_CMDLINE",
    "FORMAT",
    "AddedFile",
    "AttestableRecipe",
    "EnclaveRecipe",
    "FileInput",
    "RootInput",
    "SigningFiles",
    "pinned",
    "read_recipe",
]
