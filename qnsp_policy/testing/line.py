"""Simulator, broker, guest, gateway and upstream as real processes in a folder: the line that `apply` starts, without an engine.

Plans are not real here: the objects are put into the broker's store before it starts, by the broker's own administration with
`FakePlans`; everything that runs afterwards is exactly what runs in production.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from qnsp_policy.client.trust import RelyingPartyTrust, TrustedModel
from qnsp_policy.kernel.attestation.values import Alternative, Anchor, AssuranceClass, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keyfile_edge import write_key_file
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.sealed.header import seal_key
from qnsp_policy.kernel.sealed.stream import new_data_key, new_header, seal
from qnsp_policy.kernel.wire.api_auth import sign_request
from qnsp_policy.services.broker.configuration import BrokerConfiguration
from qnsp_policy.services.broker.process_edge import build
from qnsp_policy.simulator.measure import host_data, measure
from qnsp_policy.simulator.snp import SnpPki, make_pki
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.ports import free_port
from qnsp_policy.testing.services import FakePlans, release_policy, tenant_object, trust_root

RESOURCE = "clinic/model/tiny"
ENDPOINT = "clinic/endpoint/clinic-embeddings"
INITDATA = b'version = "0.1.0"\nalgorithm = "sha256"\n\n[data]\n"qnsp.toml" = "tenant = \\"clinic\\""\n'


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder in which processes are at work; what is gone before it is read held nothing for long."""
    for below, _, names in os.walk(folder):
        for name in names:
            path = Path(below) / name
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()


@dataclass(slots=True)
class ServiceLine:
    """Everything of one line, in `folder`.

    Attributes:
        upstream: the program that serves the model, put into the guest's image as `upstream/app.py`.
        model: plaintext of the model.
        tls: mode of broker and endpoint.
    """

    folder: Path
    upstream: bytes
    model: bytes
    tls: str = "in-process"
    endpoint_changes: Mapping[str, Any] = field(default_factory=dict)
    admin: PrivateKey = field(default_factory=lambda: generate("ML-DSA-65"))
    unwrap: PrivateKey = field(default_factory=lambda: generate("X-Wing"))
    token: PrivateKey = field(default_factory=lambda: generate("ECDSA-P256"))
    broker_tls: PrivateKey = field(default_factory=lambda: generate("ECDSA-P256"))
    api_key: PrivateKey = field(default_factory=lambda: generate("ML-DSA-65"))
    broker_port: int = field(default_factory=free_port)
    endpoint_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        return "http" if self.tls == "insecure-plaintext" else "https"

    @property
    def url(self) -> str:
        """Of the endpoint."""
        return f"{self.scheme}://127.0.0.1:{self.endpoint_port}"

    def prepare(self) -> None:
        """Write image, sealed model, keys, configurations; fill the broker's store."""
        folder = self.folder
        pki = make_pki(folder / "pki", "Milan", now=datetime.now(UTC))
        self._write_image()
        (folder / "initdata.toml").write_bytes(INITDATA)
        data_key = new_data_key()
        header = new_header(
            resource=RESOURCE,
            version=1,
            plaintext_digest=sha256_digest(self.model),
            plaintext_size=len(self.model),
        )
        sealed = b"".join(seal(io.BytesIO(self.model), data_key, header))
        (folder / "tiny.sealed").write_bytes(sealed)
        write_key_file(folder / "broker-keys.json", "broker-main", (self.unwrap, self.token, self.broker_tls))
        write_key_file(folder / "admin.json", "admin", (self.admin,))
        (folder / "broker.json").write_bytes(jcs(self._broker_configuration(pki)))
        (folder / "simulator.json").write_bytes(jcs(self._simulator_configuration()))
        (folder / "guest.json").write_bytes(jcs(self._guest_configuration()))
        self.put_objects(self.objects(data_key, sha256_digest(sealed)))

    def objects(self, data_key: bytes, sealed_digest: str) -> dict[str, Any]:
        """What an approved plan would authorise."""
        sealed_key = seal_key(
            data_key,
            self.unwrap.public,
            resource=RESOURCE,
            version=1,
            tier="CryptoTier/hip5-tier-2",
            artefact_digest=sealed_digest,
        )
        return {
            "tenant/clinic": tenant_object("clinic"),
            "tenant/research": tenant_object("research"),
            f"resource/{RESOURCE}": sealed_key.to_json(),
            f"release-policy/{RESOURCE}": release_policy(RESOURCE, self.alternative()),
            f"release-policy/{ENDPOINT}": release_policy(ENDPOINT, self.alternative()),
            f"endpoint/{ENDPOINT}": self.endpoint(sealed_digest),
        }

    def put_objects(
        self, objects: Mapping[str, Any], *, serial: int = 0, base: Mapping[str, str] | None = None
    ) -> None:
        """Through the broker's own administration, in this process: the broker must not run."""
        configuration = BrokerConfiguration.model_validate(json.loads((self.folder / "broker.json").read_bytes()))
        plans = FakePlans()
        http = sync_client(build(configuration, verify_plan=plans).asgi(), "http://broker")
        now = datetime.now(UTC)

        def send(method: str, path: str, body: bytes) -> httpx.Response:
            url = f"http://broker/qnsp/v1/admin{path}"
            headers = sign_request(method, url, body, self.admin, datetime.now(UTC))
            answer = http.request(method, url, content=body, headers=headers)
            if answer.status_code != 200:
                raise AssertionError(answer.text)
            return answer

        digests = {name: sha256_digest(jcs(value)) for name, value in objects.items()}
        envelope = plans.envelope(digests, serial=serial, base=base, expires=now + timedelta(hours=1))
        plan = send("POST", "/plans", envelope).json()["plan"]
        for name, value in objects.items():
            send("PUT", f"/objects/{name}", jcs({"object": value, "plan": plan}))

    def endpoint(self, sealed_digest: str) -> dict[str, Any]:
        """The endpoint object."""
        key = {
            "name": "clinic-app",
            "keyId": self.api_key.key_id,
            "key": self.api_key.public.to_jwk(),
            "expires": "2099-01-01T00:00:00Z",
        }
        return {
            "format": "qnsp.endpoint/v1",
            "name": "clinic-embeddings",
            "tenant": "clinic",
            "listen": f"127.0.0.1:{self.endpoint_port}",
            "tls": {"mode": self.tls},
            "upstream": {"command": ["python", "upstream/app.py"]},
            "api": {"openai": ["embeddings"]},
            "model": {
                "resource": RESOURCE,
                "name": "tiny",
                "location": "tiny.sealed",
                "digest": sealed_digest,
                "plaintextDigest": sha256_digest(self.model),
            },
            "responseSignature": {"algorithm": "ML-DSA-65"},
            "receipts": True,
            "streaming": False,
            "quotas": {},
            "tenants": [{"name": "clinic", "quotas": {"requestsPerMinute": 600}, "apiKeys": [key]}],
            "ledger": {"origin": "qnsp.example/test/gateway/clinic-embeddings"},
            **self.endpoint_changes,
        }

    def alternative(self) -> Alternative:
        """What the simulated member measures as."""
        image = (self.folder / "image.tar").read_bytes()
        return Alternative(
            name="ReferenceValues/test#0",
            kind=EvidenceKind.SEV_SNP,
            equals={
                "measurement": measure(image, 2, "quiet").hex(),
                "hostData": host_data(INITDATA).hex(),
                "policy.debug": False,
                "vmpl": 0,
            },
            floors={"tcb.reported.snp": 14},
        )

    def trust(self, **changes: Any) -> RelyingPartyTrust:
        """What a client of this line trusts."""
        pki = make_pki(self.folder / "pki", "Milan", now=datetime.now(UTC))
        settings: dict[str, Any] = {
            "endpoint": "clinic-embeddings",
            "tenant": "clinic",
            "anchors": (Anchor("amd", pki.ark.certificate, AssuranceClass.SIMULATED, "Milan"),),
            "alternatives": (self.alternative(),),
            "signature_algorithms": frozenset({"ML-DSA-65", "ML-DSA-87"}),
            "models": (TrustedModel(RESOURCE, "", sha256_digest(self.model), "lab@research.example"),),
        }
        return RelyingPartyTrust(**{**settings, **changes})

    def start(self, *names: str) -> None:
        """Start processes: `simulator`, `broker`, `guest`; each waits for nothing but its own start."""
        for name in names or ("simulator", "broker", "guest"):
            module = "qnsp_policy.simulator" if name == "simulator" else f"qnsp_policy.services.{name}"
            log = (self.folder / f"{name}.log").open("ab")
            self.processes[name] = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", module, "--config", str(self.folder / f"{name}.json")],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
            log.close()

    def fetch(self, resource: str, config: str = "guest") -> tuple[int, dict[str, Any]]:
        """`guest fetch RESOURCE`: exit status and what it printed."""
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "qnsp_policy.services.guest", "--config", f"{config}.json", "fetch", resource],
            capture_output=True,
            cwd=self.folder,
            timeout=240,
            check=False,
        )
        printed = done.stdout.decode().strip()
        return done.returncode, json.loads(printed) if printed else {"error": done.stderr.decode()}

    def wait(self, seconds: float = 240.0) -> None:
        """Until the endpoint's port answers."""
        import socket  # noqa: PLC0415

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with {process.returncode}\n{self.log(name)}")
            try:
                socket.create_connection(("127.0.0.1", self.endpoint_port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"the endpoint does not answer\n{self.log('guest')}\n{self.log('broker')}")

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        for process in reversed(list(self.processes.values())):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def _write_image(self) -> None:
        with tarfile.open(self.folder / "image.tar", "w") as archive:
            member = tarfile.TarInfo("upstream/app.py")
            member.size = len(self.upstream)
            archive.addfile(member, io.BytesIO(self.upstream))

    def _broker_configuration(self, pki: SnpPki) -> dict[str, Any]:
        root = trust_root()
        (self.folder / "trust-root.json").write_bytes(jcs(root.to_json()))
        return {
            "name": "main",
            "listen": f"127.0.0.1:{self.broker_port}",
            "database": f"sqlite:///{self.folder}/broker.db",
            "keys": str(self.folder / "broker-keys.json"),
            "tls": {"mode": self.tls},
            "identity": {
                "tls": self.broker_tls.public.to_jwk(),
                "token": self.token.public.to_jwk(),
                "unwrap": self.unwrap.public.to_jwk(),
            },
            "trustRoot": str(self.folder / "trust-root.json"),
            "trustRootDigest": root.digest,
            "workspaceId": "test",
            "environment": "development",
            "anchors": [{"vendor": "amd", "line": "Milan", "certificate": pki.ark_pem, "assurance": "simulated"}],
            "ledger": {
                "dir": str(self.folder / "broker-ledger"),
                "origin": "qnsp.example/test/broker/main",
                "keys": str(self.folder / "broker-ledger-keys.json"),
            },
            "adminKeys": [self.admin.public.to_jwk()],
            "mode": "strict",
        }

    def _simulator_configuration(self) -> dict[str, Any]:
        return {
            "dir": str(self.folder / "sim"),
            "product": "Milan",
            "image": str(self.folder / "image.tar"),
            "vcpus": 2,
            "cmdline": "quiet",
            "initdata": str(self.folder / "initdata.toml"),
            "pki": str(self.folder / "pki"),
        }

    def _guest_configuration(self) -> dict[str, Any]:
        plain = self.tls == "insecure-plaintext"
        return {
            "name": "clinic-enclave-0",
            "broker": {
                "url": f"{self.scheme}://127.0.0.1:{self.broker_port}",
                "tls": {"mode": self.tls} if plain else {"mode": "pinned", "key": self.broker_tls.public.to_jwk()},
            },
            "tsm": str(self.folder / "sim"),
            "initdata": str(self.folder / "initdata.toml"),
            "image": str(self.folder / "image.tar"),
            "endpoints": [{"name": "clinic-embeddings", "resource": ENDPOINT}],
            "workdir": str(self.folder / "guest"),
            "artefacts": str(self.folder),
            "pollSeconds": 0.5,
        }


__all__ = ["ENDPOINT", "RESOURCE", "ServiceLine", "contents"]
