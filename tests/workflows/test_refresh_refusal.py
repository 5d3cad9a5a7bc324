"""What cannot be read is not taken for gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.world.recorded import RecordedUnit
from qnsp_policy.workflows.state import must_answer


def test_a_silent_supervisor_is_no_empty_one(tmp_path: Path) -> None:
    """A refresh that cannot ask the supervisor is refused, with the way back; units without one need none."""
    tenant = RecordedUnit("tenant/clinic", "tenant", "d", {"brokers": []})
    must_answer(tmp_path, {tenant.id: tenant})
    platform = RecordedUnit("platform/lab", "platform", "d", {"supervisor": {"runDir": ".qnsp/run"}})
    with pytest.raises(OperatorError, match="QNSP-OPS-141") as caught:
        must_answer(tmp_path, {tenant.id: tenant, platform.id: platform})
    assert "qnsp-policy plan" in str(caught.value.next_step)
