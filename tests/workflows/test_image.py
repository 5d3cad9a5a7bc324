"""`image`: built twice on different days by different people it is the same; every input is held to its digest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.nitro_enclave import eif
from qnsp_policy.kernel.images import cpio
from qnsp_policy.workflows.image import BuiltImage, build_image, inspect_image, measure_image

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Recipe = dict[str, Any]


def inputs(folder: Path, *, reverse: bool = False, mode: int = 0o644, when: float = 1e9) -> Path:
    """The files of a recipe, made in some order, with some times and modes."""
    files = {
        "bzImage": b"kernel" * 1000,
        "init": b"init",
        "nsm.ko": b"module",
        "guest.json": b"{}",
        "rootfs/usr/bin/app": b"#!/bin/sh",
        "rootfs/etc/a": b"a",
        "rootfs/etc/z": b"z",
    }
    for name in sorted(files, reverse=reverse):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
        path.chmod(0o755 if name.endswith("app") else mode)
        os.utime(path, (when, when))
    (folder / "rootfs/bin").symlink_to("usr/bin")
    return folder


def recipe(folder: Path, **changes: Any) -> Path:
    value: Recipe = {
        "format": "qnsp.image/v1",
        "kind": "nitro-enclave",
        "name": "triage",
        "kernel": {"file": "bzImage"},
        "init": {"file": "init"},
        "modules": [{"file": "nsm.ko"}],
        "root": {"folder": "rootfs"},
        "files": [{"path": "etc/qnsp/guest.json", "file": "guest.json"}],
        "command": ["/bin/app", "serve"],
        "environment": {"LANG": "C.UTF-8"},
    }
    path = folder / "recipe.json"
    path.write_text(json.dumps({name: part for name, part in {**value, **changes}.items() if part is not None}))
    return path


def built(path: Path, *, pin: bool = True, values: Path | None = None) -> BuiltImage:
    return build_image(
        path,
        path.parent / "out.eif",
        pin=pin,
        values=values,
        values_name=None,
        expires=None,
        now=NOW,
        progress=lambda _: None,
    )


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    """Other times, owners' modes, orders, folders: byte for byte."""
    one = built(recipe(inputs(tmp_path / "one", reverse=True)))
    two = built(recipe(inputs(tmp_path / "two", mode=0o600, when=1.7e9)))
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.digest == two.digest


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_are_nowhere(tmp_path: Path) -> None:
    """Files of another user are root's in the image."""
    one, two = inputs(tmp_path / "one"), inputs(tmp_path / "two")
    for path in two.rglob("*"):
        os.chown(path, 1234, 5678, follow_symlinks=False)
    assert built(recipe(one)).digest == built(recipe(two)).digest


def test_what_an_image_holds(tmp_path: Path) -> None:
    """init and modules in the boot ramdisk; root, command and environment in the application's, as AWS's init reads them."""
    made = built(recipe(inputs(tmp_path)))
    image = eif.parse(made.path.read_bytes())
    boot, application = (cpio.read(data) for data in image.of("ramdisk"))
    assert [path for path, _ in boot] == ["dev", "init", "modules_load_order", "nsm.ko"]
    files = {path: entry.data for path, entry in application if entry.kind == "file"}
    assert files["cmd"] == b"/bin/app\nserve\n"
    assert files["env"] == b"LANG=C.UTF-8\n"
    assert files["rootfs/etc/qnsp/guest.json"] == b"{}"
    folders = {path for path, entry in application if entry.kind == "folder"}
    assert folders >= {f"rootfs/{name}" for name in ("dev", "proc", "run", "sys", "tmp", "var")}
    assert made.registers == measure_image(made.path)["registers"]


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("bzImage", {"pcr0", "pcr1"}),
        ("init", {"pcr0", "pcr1"}),
        ("guest.json", {"pcr0", "pcr2"}),
        ("rootfs/etc/a", {"pcr0", "pcr2"}),
    ],
)
def test_each_input_moves_its_registers(tmp_path: Path, name: str, moved: set[str]) -> None:
    """One byte of kernel or init moves PCR0 and PCR1, one byte of the application PCR0 and PCR2."""
    before = built(recipe(inputs(tmp_path))).registers
    (tmp_path / name).write_bytes(b"changed")
    after = built(recipe(tmp_path)).registers
    assert {register for register in before if before[register] != after[register]} == moved


def test_inputs_without_digest_are_refused_with_their_digests(tmp_path: Path) -> None:
    """Nothing is taken unseen; `--pin` writes them down, and the next build needs it no more."""
    path = recipe(inputs(tmp_path))
    with pytest.raises(OperatorError, match="QNSP-OPS-133") as refused:
        built(path, pin=False)
    assert hashlib.sha256((tmp_path / "init").read_bytes()).hexdigest() in refused.value.message
    assert not (tmp_path / "out.eif").exists()
    pinned = built(path)
    assert json.loads(path.read_text())["root"]["digest"].startswith("sha256:")
    assert built(path, pin=False).digest == pinned.digest


@pytest.mark.parametrize("name", ["bzImage", "init", "nsm.ko", "guest.json", "rootfs/etc/z"])
def test_an_input_that_changed_is_refused(tmp_path: Path, name: str) -> None:
    """Whichever it is; `--pin` does not overwrite a digest that is there."""
    path = recipe(inputs(tmp_path))
    built(path)
    (tmp_path / name).write_bytes(b"changed")
    for pin in (False, True):
        with pytest.raises(OperatorError, match="QNSP-OPS-132"):
            built(path, pin=pin)


def test_reference_values_come_with_it(tmp_path: Path) -> None:
    """The document that `attest reference-values` would write of the image."""
    made = built(recipe(inputs(tmp_path)), values=tmp_path / "values.yaml")
    document = yaml.safe_load((tmp_path / "values.yaml").read_text())
    assert document["spec"]["alternatives"] == [{"measurements": dict(made.registers)}]
    assert document["spec"]["computedFrom"]["imageDigest"] == made.digest


def spoil_socket(folder: Path) -> None:
    os.mkfifo(folder / "rootfs/pipe")


BAD: dict[str, tuple[Recipe, Callable[[Path], None] | None, str]] = {
    "unknown-member": ({"more": 1}, None, "QNSP-OPS-130: .*more"),
    "unknown-kind": ({"kind": "qcow2"}, None, "QNSP-OPS-130"),
    "two-roots": ({"root": {"folder": "rootfs", "oci": "x.tar"}}, None, "QNSP-OPS-130: .*root"),
    "digest-of-another-form": ({"init": {"file": "init", "digest": "md5:0"}}, None, "QNSP-OPS-130: .*digest"),
    "missing-file": ({"kernel": {"file": "nothing"}}, None, "QNSP-OPS-131: .*nothing"),
    "missing-root": ({"root": {"folder": "nothing"}}, None, "QNSP-OPS-131: .*nothing"),
    "no-command": ({"command": []}, None, "QNSP-OPS-134: .*no command"),
    "line-break": ({"command": ["a\nb"]}, None, "QNSP-OPS-134: .*line break"),
    "added-file-outside": ({"files": [{"path": "../x", "file": "init"}]}, None, "QNSP-OPS-134: .*inside"),
    "pipe": ({}, spoil_socket, "QNSP-OPS-134: .*pipe"),
    "oci-that-is-none": ({"root": {"oci": "init"}}, None, "QNSP-OPS-134"),
    "signing-key-missing": ({"signature": {"key": "k", "certificate": "c"}}, None, "QNSP-OPS-131"),
    "signing-key-is-none": ({"signature": {"key": "init", "certificate": "init"}}, None, "QNSP-OPS-135"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_recipe_is_refused(tmp_path: Path, name: str) -> None:
    """One thing wrong, its code, no image."""
    changes, spoil, code = BAD[name]
    folder = inputs(tmp_path)
    if spoil is not None:
        spoil(folder)
    with pytest.raises(OperatorError, match=code):
        built(recipe(folder, **changes))
    assert not (tmp_path / "out.eif").exists()


@pytest.mark.parametrize("at", [0, 5, 300, 546, 560, 7000])
def test_a_damaged_image_is_refused(tmp_path: Path, at: int) -> None:
    """Neither measured nor looked into."""
    made = built(recipe(inputs(tmp_path)))
    data = bytearray(made.path.read_bytes())
    data[at] ^= 0x10
    made.path.write_bytes(data)
    for look in (measure_image, inspect_image):
        with pytest.raises(OperatorError, match="QNSP-OPS-136"):
            look(made.path)


def test_metadata_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """It is in no register; however deep it nests."""
    from qnsp_policy.kernel.images import eif as writer

    for described in (b"[" * 100_000, b"no json", b""):
        (tmp_path / "x.eif").write_bytes(writer.write(b"k", "c", [b"r"], described))
        assert inspect_image(tmp_path / "x.eif")["metadata"] is None


def test_an_attestable_ami_gets_its_registration(tmp_path: Path) -> None:
    """Registers from the boot programs, the call that registers it, and what stays yours to do; a program that is no PE image is refused."""
    (tmp_path / "uki.efi").write_bytes(b"no program")
    (tmp_path / "disk.raw").write_bytes(b"disk")
    path = tmp_path / "ami.json"
    value = {
        "format": "qnsp.image/v1",
        "kind": "nitro-tpm",
        "name": "gpus",
        "boot": [{"file": "uki.efi"}],
        "disk": {"file": "disk.raw"},
    }
    path.write_text(json.dumps(value))
    with pytest.raises(OperatorError, match="QNSP-OPS-096"):
        built(path)
    (tmp_path / "uki.efi").write_bytes(program())
    path.write_text(json.dumps(value))
    made = built(path, values=tmp_path / "values.yaml")
    document = json.loads(made.path.read_text())
    assert document["registerImage"]["TpmSupport"] == "v2.0"
    assert set(document["registers"]) == {"pcr4", "pcr7", "pcr12"}
    assert document["disk"]["digest"] == "sha256:" + hashlib.sha256(b"disk").hexdigest()


def program() -> bytes:
    """The least that firmware would start: PE32+ headers without sections."""
    head = bytearray(0x200)
    head[:2], head[0x3C:0x40] = b"MZ", (0x80).to_bytes(4, "little")
    head[0x80:0x84] = b"PE\0\0"
    head[0x84:0x86] = (0x8664).to_bytes(2, "little")
    head[0x94:0x96] = (240).to_bytes(2, "little")
    optional = 0x98
    head[optional : optional + 2] = (0x20B).to_bytes(2, "little")
    head[optional + 60 : optional + 64] = (0x200).to_bytes(4, "little")
    head[optional + 108 : optional + 112] = (16).to_bytes(4, "little")
    return bytes(head)


def layout(folder: Path) -> str:
    """An OCI layout in a tar; its manifest's digest."""
    blobs: dict[str, bytes] = {}

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        info = tarfile.TarInfo("srv/app.py")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"app"))
    settings = {"architecture": "amd64", "config": {"Cmd": ["python3", "/srv/app.py"], "Env": ["A=image", "B=image"]}}
    config = blob(json.dumps(settings).encode(), "application/vnd.oci.image.config.v1+json")
    layers = [blob(gzip.compress(layer.getvalue()), "application/vnd.oci.image.layer.v1.tar+gzip")]
    manifest = blob(
        json.dumps({"config": config, "layers": layers}).encode(), "application/vnd.oci.image.manifest.v1+json"
    )
    files = {"index.json": json.dumps({"manifests": [manifest]}).encode()}
    files |= {f"blobs/sha256/{digest}": data for digest, data in blobs.items()}
    with tarfile.open(folder / "rootfs.tar", "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(manifest["digest"])


def test_a_signed_image_of_an_oci_layout_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Command and environment are the image's where the recipe says nothing; PCR8 is the certificate's; JSON twins."""
    from qnsp_policy.cli.main import main

    digest, folder = layout(tmp_path), inputs(tmp_path)
    vector = json.loads((Path(__file__).parents[1] / "vectors" / "eif" / "aws_builder.json").read_text())
    (folder / "key.pem").write_text(vector["keyInsecure"])
    (folder / "cert.pem").write_text(vector["certificate"])
    path = recipe(
        folder,
        root={"oci": "rootfs.tar"},
        command=None,
        environment={"B": "recipe"},
        signature={"key": "key.pem", "certificate": "cert.pem"},
    )
    line = ["image", "build", str(path), "--out", str(folder / "out.eif"), "--format", "json"]
    assert main([*line, "--pin"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["signed"]
    assert made["registers"]["pcr8"] == vector["registers"]["pcr8"]
    assert json.loads(path.read_text())["root"]["digest"] == digest
    application = cpio.read(eif.parse((folder / "out.eif").read_bytes()).of("ramdisk")[1])
    files = {name: entry.data for name, entry in application if entry.kind == "file"}
    assert (files["cmd"], files["env"]) == (b"python3\n/srv/app.py\n", b"A=image\nB=recipe\n")
    assert main(["image", "measure", str(folder / "out.eif"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["registers"] == made["registers"]
    assert main(["image", "inspect", str(folder / "out.eif")]) == 0
    assert "signed: the signature holds" in capsys.readouterr().out
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out) == made
