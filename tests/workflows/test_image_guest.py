"""`image guest`: what a fleet's image must tell its guest, made from the documents, and read by the guest itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from qnsp_policy.errors import QnspError
from qnsp_policy.services.guest.bridges import StreamAddress
from qnsp_policy.services.guest.configuration import read_configuration
from qnsp_policy.testing.aws_examples import initialised
from qnsp_policy.workflows.image_guest import guest_configuration


@pytest.fixture(scope="module")
def nitro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return initialised(tmp_path_factory.mktemp("nitro"), "aws-nitro")


def documents(root: Path) -> Mapping[str, Any]:
    found = (one for path in root.glob("*.yaml") for one in yaml.safe_load_all(path.read_text()))
    return {f"{one['kind']}/{one['metadata']['name']}": one["spec"] for one in found}


def test_a_guest_reads_what_is_written_for_it(nitro: Path) -> None:
    """Attester, broker and its pin, endpoints, bridges, the key that KMS keeps."""
    value = guest_configuration(nitro, "Enclave/triage")
    read = read_configuration(json.dumps(value).encode())
    assert read.broker is not None
    assert read.broker.tls.key == documents(nitro)["KeyBroker/main"]["identity"]["tls"]
    assert (read.attester, read.bind) == ("nsm", "127.0.0.1")
    assert [one.resource for one in read.endpoints] == ["clinic/endpoint/triage"]
    assert read.kms is not None
    assert [key.resource for key in read.kms.keys] == ["clinic/data/records"]


def test_bridges_lead_where_the_parent_carries(nitro: Path) -> None:
    """Out to the broker's port at the parent, in to the gateway's."""
    value = guest_configuration(nitro, "triage")
    pairs = [(StreamAddress.parse(one["arrives"]), StreamAddress.parse(one["leaves"])) for one in value["bridges"]]
    assert [(str(near), str(far)) for near, far in pairs] == [
        ("tcp://127.0.0.1:8555", "vsock://parent:8555"),
        ("vsock://any:8443", "tcp://127.0.0.1:8443"),
    ]
    assert value["broker"]["url"] == "https://127.0.0.1:8555"


def test_a_broker_on_a_gateway_s_port_is_reached_at_the_next(tmp_path: Path) -> None:
    """Two listeners of one enclave never share a port of its loopback."""
    root = initialised(tmp_path, "aws-nitro")
    path = root / "platform.yaml"
    path.write_text(path.read_text().replace("broker.clinic.example:8555", "broker.clinic.example:8443"))
    value = guest_configuration(root, "triage")
    assert value["bridges"][0] == {"arrives": "tcp://127.0.0.1:8444", "leaves": "vsock://parent:8443"}
    assert value["broker"]["url"] == "https://127.0.0.1:8444"


@pytest.mark.parametrize("name", ["Enclave/broker", "nobody", "Tenant/clinic"])
def test_what_has_no_guest_of_this_kind_is_refused(nitro: Path, name: str) -> None:
    """A broker's own place, an enclave that is not there."""
    with pytest.raises(QnspError, match="QNSP-"):
        guest_configuration(nitro, name)


def test_a_confidential_vm_is_told_by_apply(tmp_path: Path) -> None:
    """Not by its image."""
    with pytest.raises(QnspError, match=r"QNSP-OPS-137: .*sev-snp"):
        guest_configuration(initialised(tmp_path, "aws-snp"), "batch")


def test_a_nitro_tpm_fleet_has_no_bridges(tmp_path: Path) -> None:
    """An instance has a network of its own."""
    root = initialised(tmp_path, "aws-nitrotpm-gpu")
    fleet = next(
        name for name, spec in documents(root).items() if spec.get("attester") == "nitro-tpm" and "size" in spec
    )
    value = guest_configuration(root, fleet)
    assert value["attester"] == "nitro-tpm"
    assert not value.keys() & {"bridges", "bind"}
    assert value["broker"]["url"].startswith("https://broker.")
