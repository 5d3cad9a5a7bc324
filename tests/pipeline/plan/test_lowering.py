"""Units hold what their programs and services need: every configuration is read by the service it is for."""

from __future__ import annotations

import hashlib
import json
import tomllib
from typing import Any

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.wire.endpoint import EndpointConfiguration
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.plan.lowering.enclaves import guest_policy
from qnsp_policy.pipeline.plan.lowering.lower import PROGRAMS, attachments_needed
from qnsp_policy.pipeline.plan.lowering.refusals import refusals
from qnsp_policy.pipeline.plan.make import Plan
from qnsp_policy.pipeline.plan.structure import differences
from qnsp_policy.pipeline.trust.grants import effective_grants
from qnsp_policy.pipeline.trust.initdata import initdata
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.trust_root import TrustRootValue
from qnsp_policy.services.broker.configuration import read_configuration as read_broker
from qnsp_policy.services.guest.configuration import read_configuration as read_guest
from qnsp_policy.testing.clinic import WORKSPACE_ID, Clinic


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A first plan of the clinic."""
    return Clinic().plan(Clinic().genesis())


def inputs(plan: Plan, unit: str) -> dict[str, Any]:
    """The inputs of one unit."""
    return plan.units[unit].inputs


def files(process: dict[str, Any]) -> dict[str, Any]:
    """Contents of the files of a process, by path."""
    return {file["path"]: file.get("json", file.get("text")) for file in process["files"]}


def objects(plan: Plan, unit: str) -> dict[str, Any]:
    """The objects that a unit hands to the one broker."""
    found = inputs(plan, unit)
    entries = found["objects"] if "objects" in found else [o for b in found["brokers"] for o in b["objects"]]
    return {f"{entry['kind']}/{entry['name']}": entry for entry in entries}


def test_every_unit_depends_on_units_before_it(plan: Plan) -> None:
    """The order of the waves is an order: whatever a unit needs is listed before it."""
    seen: set[str] = set()
    for unit in plan.units.values():
        assert unit.program == unit.id.split("/")[0]
        assert unit.program in PROGRAMS
        assert set(unit.depends_on) <= seen
        seen.add(unit.id)


def test_the_broker_reads_its_configuration(plan: Plan) -> None:
    """The broker's own reader takes the file; the pinned TrustRoot lies where it says, with the digest it says."""
    (process,) = inputs(plan, "broker/main")["processes"]
    found = files(process)
    configuration = read_broker(jcs(found[process["argv"][-1]]))
    assert (configuration.address, configuration.workspace_id) == ("KeyBroker/main", WORKSPACE_ID)
    assert TrustRootValue.from_json(found[configuration.trust_root]).digest == configuration.trust_root_digest
    assert configuration.trust_root_digest == Clinic().genesis().judge()[1].digest
    assert process["readiness"]["http"] == "https://127.0.0.1:8555/healthz"


def test_the_guest_reads_its_configuration(plan: Plan) -> None:
    """Each member has a simulator and a guest that share a folder and the measured initdata."""
    simulator, guest = inputs(plan, "enclave/clinic-cpu")["processes"]
    configuration = read_guest(jcs(files(guest)[guest["argv"][-1]]))
    settings = files(simulator)[simulator["argv"][-1]]
    assert configuration.tsm == settings["dir"]
    assert [(e.name, e.resource) for e in configuration.endpoints] == [("embeddings", "clinic/endpoint/embeddings")]
    assert configuration.initdata is not None
    text = files(simulator)[configuration.initdata]
    measured = inputs(plan, "enclave/clinic-cpu")["enclave"]["measurements"][0]["hostData"]
    assert hashlib.sha256(text.encode()).hexdigest() == measured
    assert len(inputs(plan, "enclave/research-cpu")["processes"]) == 4


def test_the_endpoint_reads_its_object(plan: Plan) -> None:
    """The gateway's own reader takes the endpoint object, with the tier's defaults filled in."""
    (entry,) = objects(plan, "endpoint/embeddings").values()
    configuration = EndpointConfiguration.from_json(entry["object"])
    assert (entry["kind"], entry["name"]) == ("endpoint", "clinic/endpoint/embeddings")
    assert configuration.signature_algorithm == "ML-DSA-65"
    assert configuration.tls_groups == ("X25519MLKEM768",)
    assert configuration.model.resource == "clinic/model/minilm"
    assert configuration.tenants[0].quota.requests_per_minute == 600


def test_a_tenant_hands_over_itself_its_keys_and_its_policies(plan: Plan) -> None:
    """Every object's digest is its own, and is what the plan authorises for that broker."""
    found = objects(plan, "tenant/clinic")
    assert set(found) == {
        "tenant/clinic",
        "resource/clinic/model/minilm",
        "release-policy/clinic/model/minilm",
        "release-policy/clinic/endpoint/embeddings",
    }
    for name, entry in found.items():
        assert entry["digest"] == sha256_digest(jcs(entry["object"]))
        assert plan.payload["authorises"]["KeyBroker/main"][name] == entry["digest"]
    assert found["resource/clinic/model/minilm"]["unlocks"] == ["minilm"]
    assert found["resource/clinic/model/minilm"]["protect"] is True
    policy = ReleasePolicy.from_json(found["release-policy/clinic/model/minilm"]["object"])
    assert policy.digest == found["release-policy/clinic/model/minilm"]["digest"]


def test_the_initdata_is_toml_that_names_the_broker() -> None:
    """Any initdata reader finds the broker's keys by thumbprint, and the enclave's own files beside."""
    clinic = Clinic(
        change={
            "image: Artefact/guest\n  referenceValues: ReferenceValues/clinic-1": 'image: Artefact/guest\n  initdata: {policy.rego: "package x # \\"q\\"\\n\\t ü"}\n  referenceValues: ReferenceValues/clinic-1'
        }
    )
    workspace = clinic.workspace()
    data = tomllib.loads(initdata(workspace, Address("Enclave/clinic-cpu")).decode())
    assert (data["version"], data["algorithm"]) == ("0.1.0", "sha256")
    assert data["data"]["policy.rego"] == 'package x # "q"\n\t ü'
    own = tomllib.loads(data["data"]["qnsp.toml"])
    assert (own["enclave"], own["tenants"]) == ("clinic-cpu", ["clinic"])
    (broker,) = own["brokers"]
    assert broker["url"] == "https://127.0.0.1:8555"
    identity = inputs(clinic.plan(clinic.genesis()), "broker/main")["broker"]
    assert broker["tls"] == PublicKey.from_jwk(identity["tls"]["key"]).key_id


def test_the_initdata_of_equal_documents_is_equal() -> None:
    """Order of documents and unrelated edits leave the measured bytes alone."""
    address = Address("Enclave/clinic-cpu")
    assert initdata(Clinic().workspace(), address) == initdata(
        Clinic(change={"snp: 14": "snp: 15"}).workspace(), address
    )


@pytest.mark.parametrize(
    ("change", "bits"),
    [
        ({}, 0x30000),
        ({"size: {members: 1,": "debug: true\n  size: {members: 1,"}, 0xB0000),
        ({"size: {members: 1,": "launch: {guestPolicy: {smt: false}}\n  size: {members: 1,"}, 0x20000),
        ({"size: {members: 1,": "launch: {guestPolicy: {migrate: true}}\n  size: {members: 1,"}, 0x70000),
    ],
)
def test_the_guest_policy_bits(change: dict[str, str], bits: int) -> None:
    """SMT as asked, the reserved bit one, migration and debug off unless the document says otherwise."""
    from qnsp_policy.pipeline.model.kinds import Enclave

    enclave = Clinic(change=change).workspace().find(Address("Enclave/clinic-cpu"), Enclave)
    assert guest_policy(enclave) == bits


def test_files_that_a_plan_needs() -> None:
    """Sealed keys and rules of one's own; artefacts themselves stay where they are."""
    clinic = Clinic(change={"lease: 12h": "lease: 12h\n  appraisal: {rego: rules/own.rego}"})
    assert attachments_needed(clinic.workspace()) == (
        "artefacts/minilm.key.json",
        "artefacts/notes.key.json",
        "rules/own.rego",
    )


def test_an_endpoint_that_cannot_run_is_told_before_anything_is_signed() -> None:
    """An endpoint without an upstream is a plan error at its line."""
    clinic = Clinic(change={"  upstream: {command: [python, upstream/app.py]}\n": ""})
    with pytest.raises(OperatorError, match="QNSP-PLN-030: Endpoint/embeddings does not say `upstream`"):
        clinic.plan(clinic.genesis())


def test_an_enclave_that_no_broker_serves() -> None:
    """Members that could never obtain a key are not started."""
    clinic = Clinic(change={"tenants: [Tenant/clinic, Tenant/research]": "tenants: [Tenant/clinic]"})
    with pytest.raises(OperatorError, match="QNSP-PLN-029: no key broker serves a tenant of Enclave/research-cpu"):
        clinic.plan(clinic.genesis())


def test_a_platform_on_which_nothing_is_applied_yet() -> None:
    """Such documents are checked as any others; a plan of them is refused at the line that says so."""
    clinic = Clinic(change={"type: local, simulated: true": "type: kubernetes, context: lab, runtimeClasses: [kata]"})
    with pytest.raises(OperatorError, match="QNSP-PLN-036: nothing is applied on platforms of type kubernetes yet"):
        clinic.plan(clinic.genesis())
    workspace = clinic.workspace()
    found = refusals(workspace, effective_grants(workspace))
    assert "QNSP-PLN-036" not in {refusal.code for refusal in found}


def test_initdata_that_nothing_expects() -> None:
    """Members that report other initdata than any tuple names would be denied every key: told while planning, with the value."""
    clinic = Clinic(change={'hostData: "@h-clinic@"': 'hostData: "' + "ab" * 32 + '"'})
    with pytest.raises(OperatorError, match="QNSP-PLN-034: members of Enclave/clinic") as refused:
        clinic.plan(clinic.genesis())
    assert str(refused.value.expected).startswith("hostData: ")


_FIRST = "  attester: sev-snp\n  size: {members: 1, vcpus: 2, memory: 2Gi}\n"


def test_a_simulated_td_with_gpus() -> None:
    """The simulator is told to play a TD and its GPUs, the guest to collect their evidence; initdata stand in MRCONFIGID."""
    from qnsp_policy.simulator.config import from_json

    gpus = '  gpus: {model: B200, count: 2, confidentialMode: "on"}\n'
    change = {
        _FIRST: _FIRST.replace("sev-snp", "tdx") + gpus,
        "  attester: sev-snp\n  state": "  attester: tdx\n  state",
    }
    measured = 'measurements: {measurement: "@m-clinic@", hostData: "@h-clinic@"}\n'
    change[measured] = 'measurements: {mrTd: "' + "ab" * 48 + '", mrConfigId: "@h-clinic@' + "0" * 32 + '"}\n'
    change[
        "      floors: {bootloader: 3, snp: 14, microcode: 209}\n      policy: {debug: false, smt: true}\n      vmpl: 0\n"
    ] = ""
    clinic = Clinic(change=change)
    simulator, guest = inputs(clinic.plan(clinic.genesis()), "enclave/clinic-cpu")["processes"]
    played = from_json(json.dumps(next(iter(files(simulator).values()))).encode())
    assert (played.attester, played.gpus, played.gpu_architecture) == ("tdx", 2, "blackwell")
    told = read_guest(json.dumps(next(iter(files(guest).values()))).encode())
    assert told.devices is not None
    assert told.devices.collector == "simulator"


@pytest.mark.parametrize(
    "gpus",
    [
        '{model: H100, count: 2, confidentialMode: "on"}',
        "{model: B200, count: 2, confidentialMode: ppcie}",
        '{model: B200, count: 9, confidentialMode: "on"}',
        '{model: A100, count: 1, confidentialMode: "on"}',
    ],
)
def test_members_that_the_simulator_cannot_play(gpus: str) -> None:
    """Several Hopper GPUs, protected PCIe, too many GPUs, another architecture: refused while planning, at their line."""
    clinic = Clinic(change={_FIRST: f"{_FIRST}  gpus: {gpus}\n"})
    with pytest.raises(OperatorError, match="QNSP-PLN-035") as refused:
        clinic.plan(clinic.genesis())
    assert refused.value.place is not None


def test_what_differs_is_named_once_and_by_its_index() -> None:
    """A text that a document holds equals the same text as it was recorded; members without a name go by their number."""

    class Recorded(str):
        """As a model's scalar: a text of another type."""

        __slots__ = ()

    before = {"m": [{"a": "1", "b": "2"}]}
    assert list(differences(before, {"m": [{"a": Recorded("1"), "b": "2"}]})) == []
    assert [d.path for d in differences(before, {"m": [{"a": "1", "b": "3"}]})] == ["m[0].b"]


def test_a_revoked_chip_is_an_object_of_every_broker() -> None:
    """Revoked claims reach the broker as objects; a revoked TCB acts on the policies alone."""
    revocation = """---
apiVersion: qnsp.policy/v1
kind: Revocation
metadata: {name: @name@}
spec: {revokes: @revokes@, reason: found in the wild, responder: bob@clinic.example, since: 2026-11-20}
"""
    more = revocation.replace("@name@", "chip").replace("@revokes@", "{type: chip, attester: sev-snp, chipId: 'abcd'}")
    more += revocation.replace("@name@", "tcb").replace("@revokes@", "{type: tcb, attester: sev-snp, below: {snp: 12}}")
    clinic = Clinic(more=more)
    found = objects(clinic.plan(clinic.genesis()), "broker/main")
    assert set(found) == {"trust-root/current", "revocation/chip"}
    assert (found["revocation/chip"]["object"]["claim"], found["revocation/chip"]["object"]["values"]) == (
        "chipId",
        ["abcd"],
    )
