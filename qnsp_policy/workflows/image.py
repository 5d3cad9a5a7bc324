"""`image build|measure|inspect`: images from a recipe, the same bytes everywhere; their registers, as reference values compute them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.nitro_enclave import eif as reader
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.kernel.images import cpio, eif, oci
from qnsp_policy.kernel.images.tree import FOLDER, Entry, Tree, TreeError
from qnsp_policy.workflows.attest_values import as_yaml, reference_values
from qnsp_policy.workflows.image_ami import reference_values_of, registration
from qnsp_policy.workflows.image_recipe import (
    AttestableRecipe,
    EnclaveRecipe,
    FileInput,
    RootInput,
    pinned,
    read_recipe,
)
from qnsp_policy.workflows.progress import Progress

_ROOT_FOLDERS = ("dev", "proc", "run", "sys", "tmp", "var")
"""Folders that AWS's init mounts on; an image that lacks one does not start."""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What `image build` made."""

    path: Path
    digest: str
    size: int
    registers: Mapping[str, str]
    signed: bool
    reference_values: Path | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "digest": self.digest,
            "bytes": self.size,
            "registers": dict(self.registers),
            "signed": self.signed,
            "referenceValues": str(self.reference_values) if self.reference_values else None,
        }


@dataclass(slots=True)
class _Inputs:
    """Files of a recipe, each read once and held to its digest; what is not pinned yet is collected."""

    folder: Path
    progress: Progress
    missing: dict[tuple[str | int, ...], str] = field(default_factory=dict)

    def read(self, place: tuple[str | int, ...], wanted: FileInput) -> bytes:
        path = self.folder / wanted.file
        self.progress(f"reading {wanted.file}")
        data = _read(path)
        self.hold(place, wanted.digest, sha256_digest(data), str(path))
        return data

    def hold(self, place: tuple[str | int, ...], wanted: str | None, found: str, what: str) -> None:
        """Raises `QNSP-OPS-132` where the digest is another one."""
        if wanted is None:
            self.missing[place] = found
        elif wanted != found:
            raise OperatorError(
                "QNSP-OPS-132",
                f"{what} is not what the recipe says",
                subject=".".join(map(str, place)),
                expected=wanted,
                got=found,
                next_step="take the file that was meant; or, once you have looked at the new one, delete its digest and `image build --pin`",
            )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError("QNSP-OPS-131", f"{path} cannot be read: {error.strerror}", subject=str(path)) from error


def build_image(
    recipe_path: Path,
    out: Path,
    *,
    pin: bool,
    values: Path | None,
    values_name: str | None,
    expires: date | None,
    now: datetime,
    progress: Progress,
) -> BuiltImage:
    """Build the image of a recipe.

    Args:
        recipe_path: the recipe; paths in it are relative to it.
        out: where the image goes (for nitro-tpm: the document to register it by).
        pin: write the digests that the recipe lacks into it, instead of refusing.
        values: where a ReferenceValues document goes.
        values_name: its name; the recipe's if not given.
        expires: its last day.
        now: the time of the run; it reaches the reference values' expiry only, never the image.
        progress: told one line a step.

    Raises:
        OperatorError: `QNSP-OPS-130` to `QNSP-OPS-136`.
    """
    recipe = read_recipe(recipe_path)
    inputs = _Inputs(recipe_path.parent, progress)
    name = values_name or recipe.name
    if isinstance(recipe, AttestableRecipe):
        for place, one in recipe.inputs():
            inputs.read(place, one)
        recipe = cast("AttestableRecipe", _settled(recipe_path, recipe, inputs, pin=pin))
        document = reference_values_of(recipe_path.parent, recipe, name=name, expires=expires, now=now)
        data = (json.dumps(registration(recipe, document), indent=2) + "\n").encode()
        registers, signed = document["spec"]["alternatives"][0]["measurements"], False
        _write(out, data, progress)
    else:
        data = _enclave(recipe, inputs, lambda: _settled(recipe_path, recipe, inputs, pin=pin))
        registers, signed = _registers(data, recipe_path), recipe.signature is not None
        _write(out, data, progress)
        document = None
    if values is not None:
        document = document or reference_values(
            out, name=name, expires=expires, evidence_line={}, allow_simulated=False, now=now
        )
        _write(values, as_yaml(document).encode(), progress)
    return BuiltImage(out, sha256_digest(data), len(data), registers, signed, values)


def _write(path: Path, data: bytes, progress: Progress) -> None:
    progress(f"writing {path}")
    try:
        write_whole(path, data, mode=0o644)
    except OSError as error:
        raise OperatorError("QNSP-OPS-131", f"{path} cannot be written: {error.strerror}", subject=str(path)) from error


def _settled(
    path: Path, recipe: EnclaveRecipe | AttestableRecipe, inputs: _Inputs, *, pin: bool
) -> EnclaveRecipe | AttestableRecipe:
    """The recipe with a digest for every input, in its file too.

    Raises:
        OperatorError: `QNSP-OPS-133`.
    """
    if not inputs.missing:
        return recipe
    if not pin:
        found = "; ".join(
            f"{'.'.join(map(str, place))}: {digest}" for place, digest in sorted(inputs.missing.items(), key=str)
        )
        raise OperatorError(
            "QNSP-OPS-133",
            f"{path} names inputs without their digest: {found}",
            subject=str(path),
            next_step="look at these files, then write the digests down: image build --pin",
        )
    write_whole(path, pinned(path, inputs.missing).encode(), mode=0o644)
    inputs.progress(f"wrote {len(inputs.missing)} digests into {path}")
    return read_recipe(path)


def _enclave(recipe: EnclaveRecipe, inputs: _Inputs, settle: Callable[[], object]) -> bytes:
    read = {place: inputs.read(place, one) for place, one in recipe.inputs()}
    try:
        root, command, environment = _root(recipe, inputs)
        for index, added in enumerate(recipe.files):
            root.add(added.path, Entry("file", read["files", index], executable=added.executable))
        boot = Tree()
        boot.add("dev", FOLDER)
        boot.add("init", Entry("file", read["init",], executable=True))
        for index, module in enumerate(recipe.modules):
            boot.add(Path(module.file).name, Entry("file", read["modules", index], executable=True))
        if recipe.modules:
            order = "".join(f"{Path(module.file).name}\n" for module in recipe.modules)
            boot.add("modules_load_order", Entry("file", order.encode()))
        application = Tree()
        for name in _ROOT_FOLDERS:
            application.add(f"rootfs/{name}", FOLDER)
        application.merge({f"rootfs/{path}": entry for path, entry in root})
        application.add("cmd", Entry("file", _lines(command, "command")))
        application.add("env", Entry("file", _lines(environment, "environment")))
        settle()
        inputs.progress("packing ramdisks")
        ramdisks = [cpio.write(boot), cpio.write(application)]
    except TreeError as error:
        raise OperatorError("QNSP-OPS-134", f"the image cannot hold this: {error}", subject=recipe.name) from error
    described = eif.metadata(
        recipe.name,
        recipe.version,
        system="Linux",
        kernel=recipe.kernel_version or "unknown",
        tool=("qnsp-policy", metadata.version("qnsp-policy")),
        custom={
            "inputs": {".".join(map(str, place)): sha256_digest(data) for place, data in sorted(read.items(), key=str)}
        },
    )
    inputs.progress("assembling the image")
    return eif.write(
        read["kernel",],
        recipe.cmdline,
        ramdisks,
        described,
        architecture=recipe.architecture,
        memory=recipe.memory_mebibytes << 20,
        cpus=recipe.cpus,
        signer=_signer(recipe, inputs.folder),
    )


def _lines(words: tuple[str, ...], what: str) -> bytes:
    if not words and what == "command":
        raise TreeError("no command: neither the recipe nor the OCI image says what to run")
    if any("\n" in word or "\0" in word for word in words):
        raise TreeError(f"a word of {what} holds a line break, which init cannot carry")
    try:
        return "".join(f"{word}\n" for word in words).encode()
    except UnicodeEncodeError:
        raise TreeError(f"a word of {what} is no text") from None


def _root(recipe: EnclaveRecipe, inputs: _Inputs) -> tuple[Tree, tuple[str, ...], tuple[str, ...]]:
    root = recipe.root
    environment: dict[str, str] = {}
    command: tuple[str, ...] = ()
    if root.oci is not None:
        inputs.progress(f"reading {root.oci}")
        tree, command, environment = _oci(recipe, root, inputs)
    else:
        assert root.folder is not None
        inputs.progress(f"reading {root.folder}/")
        tree = read_folder(inputs.folder / root.folder)
        inputs.hold(("root",), root.digest, sha256_digest(cpio.write(tree)), str(inputs.folder / root.folder))
    merged = environment | recipe.environment
    return tree, recipe.command or command, tuple(f"{name}={value}" for name, value in sorted(merged.items()))


def _oci(recipe: EnclaveRecipe, root: RootInput, inputs: _Inputs) -> tuple[Tree, tuple[str, ...], dict[str, str]]:
    assert root.oci is not None
    layout = _read(inputs.folder / root.oci)
    named = oci.manifests(layout)
    digest = root.digest
    if digest is None:
        if len(named) != 1:
            raise TreeError(f"{root.oci} holds {len(named)} manifests: say which by its digest")
        digest = named[0]
        inputs.missing["root",] = digest
    image = oci.read(layout, digest)
    wanted = {"x86_64": "amd64", "aarch64": "arm64"}[recipe.architecture]
    if image.architecture not in {"", wanted}:
        raise TreeError(f"{root.oci} is for {image.architecture}, the recipe for {recipe.architecture}")
    environment = dict(word.partition("=")[::2] for word in image.environment)
    return image.tree, image.command, environment


def read_folder(folder: Path) -> Tree:
    """A folder's tree; links are taken as links.

    Raises:
        TreeError: it holds a device, a pipe or a socket, or is no folder.
        OperatorError: `QNSP-OPS-131`.
    """
    if not folder.is_dir():
        raise OperatorError("QNSP-OPS-131", f"{folder} is no folder", subject=str(folder))
    tree = Tree()

    def walk(path: Path, prefix: str) -> None:
        with os.scandir(path) as listed:
            for item in listed:
                name, mode = prefix + item.name, item.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    tree.add(name, Entry("link", os.fsencode(Path(item.path).readlink())))
                elif stat.S_ISDIR(mode):
                    tree.add(name, FOLDER)
                    walk(Path(item.path), name + "/")
                elif stat.S_ISREG(mode):
                    tree.add(name, Entry("file", Path(item.path).read_bytes(), executable=bool(mode & 0o111)))
                else:
                    raise TreeError(f"{item.path} is a device, a pipe or a socket")

    try:
        walk(folder, "")
    except OSError as error:
        raise OperatorError("QNSP-OPS-131", f"{folder} cannot be read: {error}", subject=str(folder)) from error
    return tree


def _signer(recipe: EnclaveRecipe, folder: Path) -> eif.Signer | None:
    if recipe.signature is None:
        return None
    try:
        key = load_pem_private_key(_read(folder / recipe.signature.key), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
            raise eif.EifSignatureError("the key is not P-384")
        return eif.Signer(key, _read(folder / recipe.signature.certificate))
    except (eif.EifSignatureError, ValueError, TypeError) as error:
        raise OperatorError(
            "QNSP-OPS-135", f"the image cannot be signed: {error}", subject=recipe.signature.key
        ) from error


def _registers(data: bytes, path: Path) -> dict[str, str]:
    try:
        image = reader.parse(data)
        return {f"pcr{index}": value.hex() for index, value in reader.pcrs(image).items()}
    except reader.EifError as error:
        raise OperatorError("QNSP-OPS-136", f"{path}: {error}", subject=str(path)) from error


def measure_image(path: Path) -> dict[str, Any]:
    """Registers of an image that is there, whoever built it.

    Raises:
        OperatorError: `QNSP-OPS-131`, `QNSP-OPS-136`.
    """
    data = _read(path)
    return {"path": str(path), "digest": sha256_digest(data), "registers": _registers(data, path)}


def inspect_image(path: Path) -> dict[str, Any]:
    """What an image holds: sections, command line, metadata, files of each ramdisk, whether its signature holds.

    Raises:
        OperatorError: `QNSP-OPS-131`, `QNSP-OPS-136`.
    """
    data = _read(path)
    registers = _registers(data, path)
    image = reader.parse(data)
    try:
        signed = eif.verify_signature(image)
    except eif.EifSignatureError as error:
        raise OperatorError("QNSP-OPS-136", f"{path}: {error}", subject=str(path)) from error
    return {
        "path": str(path),
        "digest": sha256_digest(data),
        "version": image.version,
        "defaultMemory": image.default_memory,
        "defaultCpus": image.default_cpus,
        "cmdline": image.of("cmdline")[0].decode("utf-8", "replace").rstrip("\0"),
        "sections": [
            {"name": one.name, "offset": one.offset, "bytes": len(one.data), "digest": sha256_digest(one.data)}
            for one in image.sections
        ],
        "ramdisks": [_listed(one) for one in image.of("ramdisk")],
        "metadata": _metadata(image),
        "signed": signed,
        "registers": registers,
    }


def _listed(ramdisk: bytes) -> dict[str, Any]:
    """What a ramdisk holds, if it is an archive that is not compressed."""
    try:
        entries = list(cpio.read(ramdisk))
    except TreeError as error:
        return {"read": False, "why": str(error)}
    count = sum(entry.kind == "file" for _, entry in entries)
    return {
        "read": True,
        "entries": len(entries),
        "files": count,
        "bytes": sum(len(entry.data) for _, entry in entries),
    }


def _metadata(image: reader.Image) -> Any:
    found = image.of("metadata")
    try:
        return json.loads(found[0]) if found else None
    except (ValueError, RecursionError):
        return None


__all__ = ["BuiltImage", "build_image", "inspect_image", "measure_image", "read_folder"]
