"""Hand-made: members of groups start with the metadata options of their launch template; moto leaves them out."""

from __future__ import annotations

from typing import Any

from moto.backends import get_backend
from moto.ec2.models.instances import MetadataOptions

TEMPLATE, VERSION = "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"


def as_started(region: str) -> None:
    """Put right what nobody changed yet, once a machine."""
    for account in get_backend("ec2").values():
        if region not in account:
            continue
        backend: Any = account[region]
        for reservation in list(backend.reservations.values()):
            for machine in reservation.instances:
                tags = {tag["key"]: tag["value"] for tag in machine.get_tags()}
                template = backend.launch_templates.get(tags.get(TEMPLATE))
                if template is None or getattr(machine, "as_started", False):
                    continue
                machine.as_started = True
                data = template.get_version(int(tags[VERSION])).data
                machine.metadata_options = MetadataOptions(data.get("MetadataOptions") or {})


__all__ = ["as_started"]
