"""What a workspace of an AWS example needs before its first plan, done for the lab: images, their registers, signatures, a simulated root.

On AWS a person does it by hand (docs/howto/build-an-enclave-image.md). The images are built by `image build` and hold what theirs would,
but for kernel, init and Python, which nothing boots here. The broker's private keys are sealed into its image, the key of that
wrapped for the lab's KMS.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.sealed.stream import new_data_key, new_header, seal
from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, KeyBroker, Platform
from qnsp_policy.pipeline.model.kinds.platform import is_simulated
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.lowering.brokers import broker_unit
from qnsp_policy.pipeline.plan.lowering.context import Lowering
from qnsp_policy.testing.attested_kms import wrapped
from qnsp_policy.testing.images import stub
from qnsp_policy.workflows.image import BuiltImage, build_image
from qnsp_policy.workflows.image_guest import guest_configuration
from qnsp_policy.workflows.keys import signer_of
from qnsp_policy.workflows.runtime import recorded_state
from qnsp_policy.workflows.signing import sign_addresses

LAB = "lab"
"""Folder of a workspace that the lab keeps its images in."""
_REHEARSAL = "  type: aws\n  simulated: true\n"
_S3 = "s3://"


def pem(der: bytes) -> str:
    """A certificate as documents hold it."""
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def prepare(root: Path, anchor: bytes) -> list[str]:
    """Build images for every attested fleet on AWS and put their registers into the documents.

    Args:
        root: a workspace as `init --template aws-...` made it.
        anchor: root certificate (DER) under which the lab's members attest.

    Returns:
        What was done, a line each.
    """
    said, workspace = _trust(root, anchor), load(root)
    attested = [
        enclave
        for enclave in workspace.of_kind(Enclave)
        if workspace.find(enclave.spec.platform, Platform).spec.type == "aws" and enclave.spec.attester != "sev-snp"
    ]
    return [said, *(image(root, enclave.name) for enclave in attested)]


def image(root: Path, name: str, word: str | None = None) -> str:
    """Build the image of one fleet anew and name it in the documents; where `word` is given, its workload says another one.

    A broker's fleet has the broker's name too; with a word its image is made anew: keys sealed anew, pinned to the TrustRoot in force.

    Returns:
        What was done.
    """
    workspace = load(root)
    enclave = _enclave(workspace, name)
    name = enclave.name
    artefact = workspace.find(enclave.spec.image, Artefact)
    folder = root / LAB / name
    if word is not None:
        (folder / "root/srv/broker-keys.sealed").unlink(missing_ok=True)
    _files(root, workspace, enclave, folder)
    app = folder / "root/srv/upstream/app.py"
    if word is not None and app.exists():
        app.write_text(re.sub(r'(?m)^WORD = ".*"$', f"WORD = {json.dumps(word)}", app.read_text()))
    built = _built(folder, name, enclave.spec.attester)
    location = str(artefact.spec.location)
    if location.startswith(_S3):
        told = built.digest.removeprefix("sha256:")[:8]
        location = f"{location.rpartition('/')[0]}/{name}-{told}.eif"
        shutil.copy(built.path, root / LAB / f"{name}-{told}.eif")
    values = enclave.spec.reference_values.split("/")[-1]
    _edited(root, workspace, f"Artefact/{artefact.name}", _named(location, built.digest))
    _edited(root, workspace, f"ReferenceValues/{values}", _measured(built.registers))
    changed = load(root)
    publisher = signer_of(root, str(artefact.spec.publisher))
    sign_addresses(root, changed, [artefact.address, enclave.spec.reference_values], publisher)
    return f"built {location} of Enclave/{name}; wrote its registers into ReferenceValues/{values}; signed both"


def upload(root: Path, store: Any, region: str) -> None:
    """Put what documents place in buckets there, as far as it is here; `store` is a client of S3."""
    there = {one["Name"] for one in store.list_buckets()["Buckets"]}
    for artefact in load(root).of_kind(Artefact):
        bucket, _, key = str(artefact.spec.location).removeprefix(_S3).partition("/")
        if not str(artefact.spec.location).startswith(_S3):
            continue
        if bucket not in there:
            store.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
            there.add(bucket)
        for path in (root / LAB / key, root / "artefacts" / key):
            if path.is_file():
                store.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


def spoil(root: Path, store: Any, name: str) -> str:
    """Put other bytes in the place of a fleet's image; what was done."""
    workspace = load(root)
    enclave = _enclave(workspace, name)
    location = str(workspace.find(enclave.spec.image, Artefact).spec.location)
    bucket, _, key = location.removeprefix(_S3).partition("/")
    store.put_object(Bucket=bucket, Key=key, Body=b"not the image that was signed\n")
    return f"{location} holds other bytes now"


def _enclave(workspace: Workspace, name: str) -> Enclave:
    """A fleet by its enclave's name, or by that of the broker that runs in it."""
    runs = {broker.name: broker.spec.enclave for broker in workspace.of_kind(KeyBroker)}
    return next(one for one in workspace.of_kind(Enclave) if one.name == name or one.address == runs.get(name))


def _trust(root: Path, anchor: bytes) -> str:
    """The simulated root, in the TrustRoot."""
    workspace = load(root)
    line = json.dumps([{"vendor": "aws", "line": "lab", "simulated": True, "certificate": pem(anchor)}])

    def changed(text: str) -> str:
        text = re.sub(r"(?m)^  anchors: .*\n", "", text)
        return text.replace("spec:\n  version: 1\n", "spec:\n  version: 2\n").replace(
            "spec:\n", f"spec:\n  anchors: {line}\n", 1
        )

    for platform in workspace.of_kind(Platform):
        if platform.spec.type == "aws" and not is_simulated(platform.spec):
            _edited(root, workspace, platform.address, lambda text: text.replace("  type: aws\n", _REHEARSAL, 1))
    address = workspace.trust_root.address
    _edited(root, workspace, address, changed)
    sign_addresses(root, load(root), [address], signer_of(root, "bob@clinic.example"))
    return (
        f"wrote the simulated root of the lab into {address}; bob signed it; said of the platform that it is simulated"
    )


def _files(root: Path, workspace: Workspace, enclave: Enclave, folder: Path) -> None:
    """The files that go into an image."""
    brokers = [broker for broker in workspace.of_kind(KeyBroker) if broker.spec.enclave == enclave.address]
    system = folder / "root"
    (system / "srv").mkdir(parents=True, exist_ok=True)
    (system / "etc/qnsp").mkdir(parents=True, exist_ok=True)
    if brokers:
        if not (system / "srv/broker-keys.sealed").exists():
            _broker(root, workspace, brokers[0], system)
        return
    told = guest_configuration(root, enclave.name)
    _json(system / "etc/qnsp/guest.json", told)
    for key in told.get("kms", {}).get("keys", ()):
        path = system / str(key["wrappedKey"]).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(wrapped(key["resource"], new_data_key()))
    for path in (root / "artefacts").glob("*.sealed"):
        shutil.copy(path, system / "srv" / path.name)
    app = system / "srv/upstream/app.py"
    if not app.exists():
        app.parent.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("triage.py"), app)


def _broker(root: Path, workspace: Workspace, broker: KeyBroker, system: Path) -> None:
    """A broker's own place: its configuration as `apply` would write it on this machine, its keys sealed."""
    recorded = recorded_state(root, workspace)
    genesis, judge = recorded.judge()
    from qnsp_policy.pipeline.trust.from_documents import trust_root_value

    context = Lowering(
        workspace=workspace, policies={}, recorded=recorded, judge=judge, proposed=trust_root_value(workspace),
        workspace_id=genesis.workspace_id, attachments={},
    )  # fmt: skip
    (process,) = broker_unit(context, broker).inputs["processes"]
    settings, pinned = (file["json"] for file in process["files"])
    port, store = str(broker.spec.listen).rpartition(":")[2], f"broker/{broker.name}/store"
    (system / "etc/qnsp/trust-root.json").write_bytes(jcs(pinned))
    settings |= {
        "listen": f"127.0.0.1:{port}",
        "database": "sqlite:////run/qnsp/broker.db",
        "keys": "/proc/self/fd/100",
        "trustRoot": "/etc/qnsp/trust-root.json",
        "ledger": {**settings["ledger"], "dir": "/run/qnsp/ledger", "keys": "/run/qnsp/ledger-keys.json"},
    }
    _json(system / "etc/qnsp/broker.json", settings)
    keys, data_key = (root / f".qnsp/keys/broker-{broker.name}.json").read_bytes(), new_data_key()
    header = new_header(resource=store, version=1, plaintext_digest=sha256_digest(keys), plaintext_size=len(keys))
    (system / "srv/broker-keys.sealed").write_bytes(b"".join(seal(io.BytesIO(keys), data_key, header)))
    (system / "srv/broker-keys.wrapped").write_bytes(wrapped(store, data_key))
    region = str(getattr(workspace.find(broker.spec.platform, Platform).spec, "region", ""))
    guest = {
        "name": f"broker-{broker.name}",
        "attester": "nsm",
        "workdir": "/run/qnsp",
        "bridges": [{"arrives": f"vsock://any:{port}", "leaves": f"tcp://127.0.0.1:{port}"}],
        "kms": {
            "endpoint": f"kms.{region}.amazonaws.com",
            "via": "vsock://parent:8000",
            "credentials": "vsock://parent:8001",
            "allowClassical": True,
            "keys": [
                {"resource": store, "keyId": broker.spec.unsealing.key, "wrappedKey": "/srv/broker-keys.wrapped"},
            ],
        },
        "program": {
            "command": ["python", "-m", "qnsp_policy.services.broker", "--config", "/etc/qnsp/broker.json"],
            "sealed": [
                {
                    "resource": store,
                    "file": "/srv/broker-keys.sealed",
                    "digest": sha256_digest(keys),
                    "descriptor": 100,
                }
            ],
        },
    }
    _json(system / "etc/qnsp/guest.json", guest)


def _built(folder: Path, name: str, attester: str) -> BuiltImage:
    """`image build --pin` of what lies in the folder."""
    recipe: dict[str, Any] = {"format": "qnsp.image/v1", "kind": attester, "name": name}
    if attester == "nitro-enclave":
        command = ["/usr/bin/python3", "-m", "qnsp_policy.services.guest", "--config", "/etc/qnsp/guest.json"]
        if (folder / "root/srv/broker-keys.sealed").exists():
            command.append("run")
        (folder / "bzImage").write_bytes(b"a kernel of the lab: nothing boots it\n")
        (folder / "init").write_bytes(b"an init of the lab: nothing runs it\n")
        recipe |= {"kernel": {"file": "bzImage"}, "init": {"file": "init"}, "root": {"folder": "root"}}
        recipe["command"] = command
        out = folder / "image.eif"
    else:
        # The disk stands for a file system whose hash the boot program's command line holds, as an attestable AMI's does.
        disk = json.dumps({str(path.relative_to(folder)): sha256_digest(path.read_bytes())
                           for path in sorted((folder / "root").rglob("*")) if path.is_file()})  # fmt: skip
        (folder / "disk.img").write_text(disk)
        (folder / "boot.efi").write_bytes(stub("257", cmdline=sha256_digest(disk.encode()).encode()))
        recipe |= {"boot": [{"file": "boot.efi"}], "disk": {"file": "disk.img"}}
        out = folder / "registration.json"
    _json(folder / "image.json", recipe)
    return build_image(
        folder / "image.json", out, pin=True, values=None, values_name=None, expires=None, now=datetime.now(UTC),
        progress=lambda _: None,
    )  # fmt: skip


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _edited(root: Path, workspace: Workspace, address: str, change: Callable[[str], str]) -> None:
    """One document of a file, changed in its text."""
    place = workspace.sources[address]  # type: ignore[index]
    path = root / place.file
    kind, _, name = address.partition("/")
    parts = path.read_text(encoding="utf-8").split("\n---\n")
    mine = [
        number
        for number, part in enumerate(parts)
        if re.search(rf"(?m)^kind: {kind}$", part) and f"metadata: {{name: {name}}}" in part
    ]
    assert len(mine) == 1, address
    parts[mine[0]] = change(parts[mine[0]])
    path.write_text("\n---\n".join(parts), encoding="utf-8")


def _named(location: str, digest: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        text = re.sub(r"location: [^,\s]+", f"location: {location}", text)
        return re.sub(r'digest: "sha256:[0-9a-f]{64}"', f'digest: "{digest}"', text)

    return change


def _measured(registers: Mapping[str, str]) -> Callable[[str], str]:
    def change(text: str) -> str:
        text = text.replace("  origin: placeholder\n", "")
        for name, value in registers.items():
            text = re.sub(rf'{name}: "[0-9a-f]+"', f'{name}: "{value}"', text)
        return text

    return change


__all__ = ["LAB", "image", "pem", "prepare", "spoil", "upload"]
