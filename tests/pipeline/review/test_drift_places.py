"""What drifted is told with the line of the document that says what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnsp_policy.pipeline.model import Workspace
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.pipeline.review.drift_places import place_of
from qnsp_policy.pipeline.review.drift_text import render_drift
from qnsp_policy.testing.aws_examples import initialised


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return initialised(tmp_path_factory.mktemp("example"), "aws-nitro")


@pytest.fixture(scope="module")
def workspace(root: Path) -> Workspace:
    return load(root)


@pytest.mark.parametrize(
    ("unit", "resource", "file", "line"),
    [
        ("platform/cloud", "trail qnsp-aws-nitro-cloud", "platform.yaml", "metadata: {name: cloud}"),
        ("platform/cloud", "role qnsp-aws-nitro-triage", "fleet.yaml", "metadata: {name: triage}"),
        ("platform/cloud", "role qnsp-aws-nitro-main", "platform.yaml", "metadata: {name: main}"),
        ("aws-keys/clinic", "key clinic/data/records@1", "keys.yaml", "- {name: data/records"),
        ("aws-keys/clinic", "alias alias/qnsp/aws-nitro/clinic/data/records/v1", "keys.yaml", "- {name: data/records"),
        ("aws-keys/clinic", "key clinic/signing-root@1", "keys.yaml", "signingRoot:"),
        ("endpoint/triage", "listener listener", "fleet.yaml", "metadata: {name: triage}"),
    ],
)
def test_drift_points_at_its_document(
    unit: str, resource: str, file: str, line: str, workspace: Workspace, root: Path
) -> None:
    """The key of a hierarchy, the fleet of a role, else the document of the unit."""
    place = place_of(workspace, unit, resource)
    assert place is not None
    assert place.file == file
    text = (root / file).read_text().splitlines()
    assert line in text[place.line - 1]


def test_a_unit_that_no_document_holds_points_nowhere(workspace: Workspace) -> None:
    """And is told all the same."""
    assert place_of(workspace, "enclave/gone", "group x") is None
    item = {"class": "security", "unit": "enclave/gone", "text": "group x is gone", "place": ""}
    found = {"drift": [item, {**item, "place": "fleet.yaml:3:1"}], "units": 1}
    first, second, *_ = render_drift(found).splitlines()
    assert first.endswith("is gone")
    assert second.endswith("is gone  fleet.yaml:3:1")
