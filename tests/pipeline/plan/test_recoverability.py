"""What cannot be had back goes only by name."""

from __future__ import annotations

import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.plan.recoverability import losses, refuse_unnamed

PLATFORM = {"evidence": {"bucket": "ws-evidence"}, "trail": {"bucket": "ws-trail"}}


def test_buckets_of_evidence_go_only_by_name() -> None:
    """Destroying a platform names both buckets, and the refusal says every option that is missing."""
    found = losses([PLATFORM], [], named=())
    assert {(loss.effect, loss.subject) for loss in found} == {("destroys", "ws-evidence"), ("destroys", "ws-trail")}
    with pytest.raises(OperatorError, match="QNSP-PLN-022") as caught:
        refuse_unnamed(found, ["ws-trail"])
    assert caught.value.next_step is not None
    assert "--destroy-key ws-evidence" in caught.value.next_step
    assert "ws-trail" not in caught.value.next_step
    refuse_unnamed(found, ["ws-trail", "ws-evidence"])


def test_buckets_that_stay_are_no_loss() -> None:
    """A platform that changes otherwise, or a bucket that another unit keeps, loses nothing."""
    assert losses([PLATFORM], [PLATFORM | {"zones": ["a"]}], named=()) == ()
    assert [loss.subject for loss in losses([PLATFORM], [{"evidence": {"bucket": "ws-evidence"}}], named=())] == [
        "ws-trail"
    ]
