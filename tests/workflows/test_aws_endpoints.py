"""In production AWS is asked over TLS only; elsewhere a server of the environment's choosing may stand in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.testing.aws_examples import initialised
from qnsp_policy.workflows.runtime import asked_elsewhere, refuse_plain_endpoints


def test_a_plain_endpoint_is_refused_in_production_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is set for one service; an https endpoint, such as one of a network's own, is asked."""
    root = initialised(tmp_path, "aws-snp")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:5599")
    refuse_plain_endpoints(load(root))
    project = root / "qnsp.yaml"
    project.write_text(project.read_text().replace("environment: development", "environment: production"))
    with pytest.raises(OperatorError) as caught:
        refuse_plain_endpoints(load(root))
    assert caught.value.code == "QNSP-OPS-140"
    assert "AWS_ENDPOINT_URL_KMS" in caught.value.message
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "https://vpce-0.kms.eu-west-1.vpce.amazonaws.com")
    refuse_plain_endpoints(load(root))


def test_who_answers_in_the_place_of_aws_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address, where something is on AWS; nothing where AWS itself is asked."""
    root = initialised(tmp_path, "aws-snp")
    assert not asked_elsewhere(load(root))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5599")
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:5599")
    told = asked_elsewhere(load(root))
    assert told == "AWS is asked at http://127.0.0.1:5599: whoever answers there is trusted as AWS is"
