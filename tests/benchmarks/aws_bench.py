"""AWS: a plan of a hundred fleets, a look at all of them, an apply of one: `python -m tests.benchmarks.aws_bench`.

Nothing here is AWS: the server is the test double of tests/plugins/aws (moto) on loopback, in a process of its own for what is timed against
it. Every figure of an apply is given beside the time that the server itself was at work, once as fast as moto answers and once with
as long before every answer as AWS takes; and once with a plugin that asks nobody, which is what the engine itself takes: two starts of it and
of the plugin (preview and up), and a state that is saved after every step. Against moto alone that dominates; at AWS's pace the calls do.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.pipeline.engine import toolchain
from qnsp_policy.pipeline.engine.apply import apply
from qnsp_policy.pipeline.engine.programs import resources
from qnsp_policy.pipeline.model.kinds import KeyBroker
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.aws_edge import AwsReader
from qnsp_policy.testing import engine_toys as toys
from qnsp_policy.testing.aws_examples import initialised, planned, units_of
from qnsp_policy.workflows.sealing import seal_file
from tests.plugins.aws.session import Aws
from tests.plugins.aws.stand_in import IDLE, install
from tests.plugins.aws.world import made_units

REGIONS = ("eu-west-1", "eu-central-1", "us-east-2")
LATENCY = 0.12
"""Seconds before every answer, as EC2 and IAM take them."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FLEET = """apiVersion: qnsp.policy/v1
kind: Enclave
metadata: {{name: f{n}}}
spec:
  platform: Platform/{platform}
  attester: nitro-enclave
  size: {{members: 2, vcpus: 4, memory: 8Gi}}
  tenants: [Tenant/{tenant}]
  image: Artefact/triage-image
  referenceValues: ReferenceValues/triage-1
---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {{name: f{n}-opens-model}}
spec: {{resources: [{tenant}/model/triage], broker: KeyBroker/main, to: [Enclave/f{n}], purpose: inference, lease: 12h, notAfter: "{until}", consent: [alice@clinic.example]}}
---
apiVersion: qnsp.policy/v1
kind: Grant
metadata: {{name: f{n}-opens-records}}
spec: {{resources: [{tenant}/data/r{n}], broker: KeyBroker/main, to: [Enclave/f{n}], purpose: inference, lease: 12h, notAfter: "{until}", consent: [alice@clinic.example]}}
"""
_ENDPOINT = """apiVersion: qnsp.policy/v1
kind: Endpoint
metadata: {{name: f{n}-{k}}}
spec:
  enclave: Enclave/f{n}
  model: Artefact/{model}
  api: {{openai: [chat-completions]}}
  tenants: [Tenant/{tenant}]
  upstream: {{command: [python, upstream/app.py]}}
  listen: f{n}-{k}.clinic.example:{port}
  responseSignature: {{algorithm: ML-DSA-65}}
  receipts: true
"""


def workspace(folder: Path, fleets: int) -> Path:
    """The example on Nitro, grown: so many fleets over three regions, each region with a tenant and keys of its own.

    A fleet has a role, a key in KMS and two endpoints.
    """
    root = initialised(folder, "aws-nitro")
    shutil.rmtree(root / "signatures")
    (keeper,) = load(root).of_kind(KeyBroker)
    unwrap = PublicKey.from_jwk(keeper.spec.identity.unwrap)
    (root / "sample").write_text("a sample in the place of a model")
    platform, tenant, *rest = _documents(root / "platform.yaml")
    fleet = _documents(root / "fleet.yaml")
    (hierarchy,) = _documents(root / "keys.yaml")
    model, *images = _documents(root / "artefacts.yaml")
    until = next(line for line in "".join(fleet).splitlines() if "notAfter" in line).split('"')[1]
    platforms, tenants, hierarchies, models = [platform], [tenant], list[str](), [model]
    key = next(line for line in hierarchy.splitlines() if "data/records" in line)
    for index, region in enumerate(REGIONS):
        mine = f"clinic-{region}" if index else "clinic"
        names = [n for n in range(fleets - 1) if n % len(REGIONS) == index]
        more = "\n".join([key, *(key.replace("data/records", f"data/r{n}") for n in names)])
        grown = hierarchy.replace(key, more)
        if index:
            platforms.append(platform.replace("name: cloud", f"name: cloud-{region}").replace("eu-west-1", region))
            tenants.append(tenant.replace("name: clinic}", f"name: {mine}}}").replace("eu-west-1", region))
            wrapped = f"artefacts/triage-{region}.key.json"
            sealed = seal_file(
                root / "sample", root / f"artefacts/triage-{region}.sealed", root / wrapped,
                broker=unwrap, resource=f"{mine}/model/triage", version=1, tier="CryptoTier/eu-dora",
            )  # fmt: skip
            grown_model = model.replace("name: triage}", f"name: triage-{region}}}").replace(
                "Tenant/clinic", f"Tenant/{mine}"
            )
            grown_model = grown_model.replace("clinic/model", f"{mine}/model").replace(
                "artefacts/triage.key.json", wrapped
            )
            for old, new in zip(_DIGEST.findall(model), (sealed.digest, sealed.plaintext_digest), strict=True):
                grown_model = grown_model.replace(old, new)
            models.append(grown_model)
            grown = grown.replace("name: clinic}", f"name: {mine}}}").replace("Tenant/clinic", f"Tenant/{mine}")
        hierarchies.append(grown)
        for n in names:
            told = {"n": n, "until": until, "tenant": mine, "platform": f"cloud-{region}" if index else "cloud",
                    "model": f"triage-{region}" if index else "triage"}  # fmt: skip
            fleet.append(_FLEET.format(**told))
            fleet += [_ENDPOINT.format(**told, k=k, port=8443 + k) for k in range(2)]
    broker = [one.replace("tenants: [Tenant/clinic]", f"tenants: [{', '.join(_tenants())}]") for one in rest]
    for name, documents in (("platform", [*platforms, *tenants, *broker]), ("fleet", fleet), ("keys", hierarchies),
                            ("artefacts", [*models, *images])):  # fmt: skip
        (root / f"{name}.yaml").write_text("\n---\n".join(documents))
    return root


def _tenants() -> list[str]:
    return ["Tenant/clinic", *(f"Tenant/clinic-{region}" for region in REGIONS[1:])]


def _documents(path: Path) -> list[str]:
    return path.read_text().split("\n---\n")


def processor() -> float:
    """Processor seconds of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Server:
    """The double in a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, what: str, body: str = "") -> Any:
        request = urllib.request.Request(f"{self.url}/_double/{what}", data=body.encode(), method="POST")
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())


@contextmanager
def server() -> Iterator[Server]:
    """Starts it on a free port and ends it."""
    line = [sys.executable, "-m", "tests.plugins.aws.double", "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        url = process.stdout.readline().strip().partition("=")[2]
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        try:
            yield Server(url)
        finally:
            process.terminate()


def plan_figures(root: Path) -> dict[str, float]:
    """`plan` of a new workspace, as a whole process."""
    line = [sys.executable, "-m", "qnsp_policy.cli.main", "--format", "json", "plan"]
    started, before = time.perf_counter(), processor()
    made = json.loads(subprocess.run(line, cwd=root, check=False, capture_output=True).stdout)["plan"]
    steps = [step for action in made["actions"] for step in action["steps"]]
    return {
        "plan, all new: units": len(made["units"]),
        "plan, all new: resources": len(steps),
        "plan, all new: resources on AWS": sum(step["type"].startswith("aws:") for step in steps),
        "plan, all new: seconds (whole process)": time.perf_counter() - started,
        "plan, all new: processor seconds": processor() - before,
    }


def look_figures(units: Mapping[str, Unit], double: Server) -> dict[str, float]:
    """One look of the bulk reader at all of it."""
    connected: dict[str, Aws] = {}

    def connect(platform: Mapping[str, Any]) -> Aws:
        region = str(platform["region"])
        if region not in connected:
            connected[region] = Aws({"region": region, "assumeRoles": [{"roleArn": platform["role"]}]})
        return connected[region]

    ours = {name: unit for name, unit in units.items() if unit.program.startswith("aws-")}
    depends = {
        name: replace(unit, depends_on=tuple(d for d in unit.depends_on if d in ours)) for name, unit in ours.items()
    }
    recorded, made = made_units(depends.values(), connect)
    double.ask("clear")
    started, before = time.perf_counter(), processor()
    seen = AwsReader(resources).observe(recorded)
    seconds, work = time.perf_counter() - started, processor() - before
    told = double.ask("figures")
    calls = sum(told["calls"].values())
    if seen.deviations or seen.unknown:
        raise SystemExit(
            f"a clean world shows {[d.text for d in seen.deviations][:5]} {dict(list(seen.unknown.items())[:3])}"
        )
    return {
        "look at all of it: resources": sum(len(unit) for unit in made.values()),
        "look at all of it: calls": calls,
        "look at all of it: seconds": seconds,
        "look at all of it: processor seconds of the reader": work,
        "look at all of it: calls per second": calls / seconds,
        "look at all of it: seconds in which the server was at work": told["busy"],
    }


def apply_figures(units: Mapping[str, Unit], double: Server, latency: float) -> dict[str, float]:
    """The engine's apply of the platform's unit, beside the time of the API itself."""
    double.ask("reset")
    double.ask("latency", str(latency))
    unit = units["platform/cloud"]
    seconds, told = _applied(unit, double)
    double.ask("latency", "0")
    label = f"apply of one unit, {latency * 1000:.0f} ms before every answer"
    return {
        f"{label}: resources": len(resources(unit)),
        f"{label}: calls": sum(told["calls"].values()),
        f"{label}: seconds": seconds,
        f"{label}: seconds of the API, one call after another": told["seconds"],
        f"{label}: seconds in which the API was at work": told["busy"],
        f"{label}: ratio to the API, one call after another": seconds / told["seconds"],
        f"{label}: ratio to the time in which the API was at work": seconds / told["busy"],
    }


def floor_figures(units: Mapping[str, Unit], double: Server) -> dict[str, float]:
    """The same apply with a plugin that asks nobody: what remains at any speed of the API."""
    seconds, _ = _applied(units["platform/cloud"], double, **{IDLE: "1"})
    return {"apply of one unit, a plugin that asks nobody: seconds": seconds}


def _applied(unit: Unit, double: Server, **more: str) -> tuple[float, Any]:
    found = toolchain.find("pulumi", environment=os.environ)
    if found is None:
        raise SystemExit("pulumi is not built: make setup")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{install(Path(folder) / 'plugins')}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, **more, "PATH": path, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        toy = toys.ToyWorkspace.make(Path(folder) / "toy", found.path, environment=environment)
        order = toys.order(toy, [unit], [toys.create(unit)])
        double.ask("clear")
        started = time.perf_counter()
        apply(order, settings=toy.settings)
        return time.perf_counter() - started, double.ask("figures")


def measure(fleets: int) -> dict[str, float]:
    """Every figure."""
    with tempfile.TemporaryDirectory() as folder, server() as double:
        root = workspace(Path(folder), fleets)
        figures = plan_figures(root)
        units = units_of(planned(root))
        figures |= look_figures(units, double)
        figures |= floor_figures(units, double)
        figures |= apply_figures(units, double, 0.0)
        return figures | apply_figures(units, double, LATENCY)


def main() -> None:
    """Print every figure."""
    for name, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100).items():
        sys.stdout.write(f"{name}: {value:,.2f}\n")


if __name__ == "__main__":
    main()
