"""What a reader compares is what the program makes: the same resources, the same inputs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from qnsp_policy.pipeline.engine.programs import outlines, resources
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.declared import Link
from qnsp_policy.pipeline.world.recorded import RecordedUnit
from qnsp_policy.testing.aws_examples import CLOUD_TEMPLATES, NETWORK, initialised, planned, resolved, units_of


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Unit]]:
    folder = tmp_path_factory.mktemp("aws")
    return {t: units_of(planned(initialised(folder, t))) for t in CLOUD_TEMPLATES}


def recorded(unit: Unit) -> RecordedUnit:
    return RecordedUnit(unit.id, unit.program, "", resolved(unit, NETWORK).inputs)


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_a_reader_is_told_of_every_resource(template: str, units: Mapping[str, Mapping[str, Unit]]) -> None:
    """Each one on AWS of every outline, with the security properties that the plan holds."""
    for unit in units[template].values():
        if unit.program.startswith("aws-"):
            told = {(item.type, item.name): item for item in resources(recorded(unit))}
            steps = [step for step in outlines()[unit.program](unit) if step.type.startswith("aws:")]
            assert sorted(told) == sorted((step.type, step.name) for step in steps)
            for step in steps:
                for member, value in step.security.items():
                    assert told[step.type, step.name].inputs[member] == value


def test_links_stand_where_the_world_decides(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """A broker's fleet answers behind its own load balancer; other programs have nothing to be read in bulk."""
    told = {item.name: item for item in resources(recorded(units["aws-nitro"]["broker/main"]))}
    assert told["main-group"].inputs["targetGroupArns"] == [Link("targets", "arn")]
    assert told["main-group"].inputs["launchTemplate"]["version"] == Link("main-template", "latestVersion")
    assert resources(RecordedUnit("tenant/clinic", "tenant", "", {})) == ()
