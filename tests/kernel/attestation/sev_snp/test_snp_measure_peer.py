"""The launch digest against sev-snp-measure, run beside it on random firmware, models, kernels and hypervisors (seeded)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sevsnpmeasure import guest, vcpu_types, vmm_types
from sevsnpmeasure.sev_mode import SevMode

from qnsp_policy.kernel.attestation.sev_snp.launch import Hypervisor, Kernel, launch_digest, vcpu_signature
from qnsp_policy.testing.images import firmware
from qnsp_policy.workflows.attest_launch import CPUS

VMMS = {
    Hypervisor.QEMU: vmm_types.VMMType.QEMU,
    Hypervisor.EC2: vmm_types.VMMType.ec2,
    Hypervisor.GCE: vmm_types.VMMType.gce,
}


def test_every_cpu_model_has_its_signature() -> None:
    """Each model that the peer knows is known here, with the same signature; newer versions of a model keep it."""
    ours = {name: vcpu_signature(*cpu) for name, cpu in CPUS.items()}
    assert ours.items() >= vcpu_types.CPU_SIGS.items()
    assert all(ours[name] == ours[name.rpartition("-v")[0]] for name in ours if "-v" in name)


@pytest.mark.parametrize("seed", range(12))
def test_same_digest(seed: int, tmp_path: Path) -> None:
    """Random sections, pages, vCPUs, features and direct boot give one digest in both."""
    chance = random.Random(seed)
    addresses = iter(range(0x800000, 0x900000, 0x4000))
    kinds = chance.sample([1, 1, 2, 3, 4, 1], k=chance.randint(2, 6))
    sections = [(next(addresses), 0x1000 * chance.randint(1, 3) if kind in {1, 4} else 0x1000, kind) for kind in kinds]
    sections.insert(chance.randint(0, len(sections)), (0x810000, 0x1000, 0x10))
    image = firmware(sev=sections, pages=chance.randint(3, 9))
    (tmp_path / "ovmf.fd").write_bytes(image)
    booted = chance.random() < 0.7
    kernel = Kernel(
        chance.randbytes(999), chance.randbytes(chance.choice([0, 77])), "console=ttyS0 ro"[: chance.randint(0, 16)]
    )
    (tmp_path / "kernel").write_bytes(kernel.image)
    (tmp_path / "initrd").write_bytes(kernel.initrd)
    features, vcpus = chance.choice([0x1, 0x21]), chance.randint(1, 9)
    for hypervisor, vmm in VMMS.items():
        for model in chance.sample(sorted(vcpu_types.CPU_SIGS), k=3):
            theirs = guest.calc_launch_digest(
                SevMode.SEV_SNP,
                vcpus,
                vcpu_types.CPU_SIGS[model],
                str(tmp_path / "ovmf.fd"),
                str(tmp_path / "kernel") if booted else None,
                str(tmp_path / "initrd") if booted else None,
                kernel.cmdline if booted else None,
                features,
                vmm_type=vmm,
            )
            ours = launch_digest(
                image,
                vcpus=vcpus,
                signature=vcpu_signature(*CPUS[model]),
                hypervisor=hypervisor,
                features=features,
                kernel=kernel if booted else None,
            )
            assert ours == theirs, (seed, hypervisor, model)
