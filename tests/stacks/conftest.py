"""A loop for programs under Pulumi's mocks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One whose worker threads have loops of their own: Pulumi's mocks make one where there is none, and leave it."""
    made = []

    def give_loop() -> None:
        made.append(asyncio.new_event_loop())
        asyncio.set_event_loop(made[-1])

    give_loop()
    executor = ThreadPoolExecutor(4, initializer=give_loop)
    made[0].set_default_executor(executor)
    yield made[0]
    executor.shutdown()
    asyncio.set_event_loop(None)
    for each in made:
        each.close()
