"""The random search runs for a moment in every test run, so that it cannot rot; `attestation_fuzz.py` alone runs for longer."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path


def test_short_search_finds_nothing() -> None:
    """Three hundred damaged inputs of all kinds: each refused by an error of ours, none slow."""
    path = Path(__file__).with_name("attestation_fuzz.py")
    spec = importlib.util.spec_from_file_location("attestation_fuzz", path)
    assert spec is not None
    assert spec.loader is not None
    search = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(search)
    found = [search.try_once(random.Random(seed)) for seed in range(300)]
    assert [one for one in found if one and "Traceback" in one] == []
