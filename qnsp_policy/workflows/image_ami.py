"""What it takes to register an attestable AMI: the values that it will measure, and the call that registers it. No AMI is built here.

The disk is yours to make (a unified kernel image on the EFI partition, its root under dm-verity); the registers follow from the boot programs.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

from qnsp_policy.workflows.image_recipe import AttestableRecipe

FORMAT = "qnsp.ami-registration/v1"


@contextmanager
def launch_inputs(folder: Path, recipe: AttestableRecipe) -> Iterator[Path]:
    """The recipe as launch inputs of `attest reference-values` (docs/formats/launch-inputs.md)."""
    base = folder.resolve()
    value: dict[str, Any] = {"attester": "nitro-tpm", "boot": [str(base / one.file) for one in recipe.boot]}
    if recipe.variables:
        value["variables"] = {name: str(base / one.file) for name, one in recipe.variables.items()}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "launch.json"
        path.write_text(json.dumps(value))
        yield path


def reference_values_of(
    folder: Path, recipe: AttestableRecipe, *, name: str, expires: date | None, now: datetime
) -> dict[str, Any]:
    """The ReferenceValues of the AMI; raises as `workflows.attest_values.reference_values`."""
    from qnsp_policy.workflows.attest_values import reference_values

    with launch_inputs(folder, recipe) as inputs:
        return reference_values(inputs, name=name, expires=expires, evidence_line={}, allow_simulated=False, now=now)


def registration(recipe: AttestableRecipe, values: dict[str, Any]) -> dict[str, Any]:
    """The document to register the AMI by."""
    registers = values["spec"]["alternatives"][0]["measurements"]
    return {
        "format": FORMAT,
        "name": recipe.name,
        "disk": {"file": recipe.disk.file, "digest": recipe.disk.digest},
        "registerImage": {
            "Name": recipe.name,
            "Architecture": recipe.architecture,
            "BootMode": "uefi",
            "TpmSupport": "v2.0",
            "EnaSupport": True,
            "VirtualizationType": "hvm",
            "ImdsSupport": "v2.0",
            "RootDeviceName": "/dev/xvda",
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "", "DeleteOnTermination": True}}
            ],
        },
        "registers": registers,
        "steps": [
            "write the disk to a snapshot (EBS direct APIs: StartSnapshot, PutSnapshotBlock, CompleteSnapshot)",
            "put the snapshot's id into registerImage and call RegisterImage with it",
            "write the AMI's id as the Artefact's location, the disk's digest as its digest",
            "start one instance, ask it for its attestation document, hold its registers to these before anything is granted",
        ],
        "notMeasured": [
            "the disk itself: only what the boot programs contain, or hold to a hash they contain (dm-verity), is measured",
            "UefiData of RegisterImage, beyond PCR7",
        ],
    }


__all__ = ["FORMAT", "launch_inputs", "reference_values_of", "registration"]
