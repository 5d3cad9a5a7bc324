"""One simulated member: chip, launch measurement, and the report it gives for report data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qnsp_policy.errors import OperatorError
from qnsp_policy.simulator.config import SimulatorConfig
from qnsp_policy.simulator.measure import host_data, measure
from qnsp_policy.simulator.snp import SnpChip, certificate_table, load_chip, make_pki

REPORT_DATA_SIZE = 64
"""Bytes of `inblob`; the kernel's sev-guest driver takes exactly these."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A member that was launched: its measurement never changes again."""

    chip: SnpChip
    measurement: bytes
    host_data: bytes
    config: SimulatorConfig

    def report(self, report_data: bytes, *, vmpl: int | None = None) -> bytes:
        """A report over 64 bytes of report data.

        Raises:
            ValueError: another length, or a privilege level above the guest's own.
        """
        if len(report_data) != REPORT_DATA_SIZE:
            raise ValueError(f"report data of {len(report_data)} bytes; exactly {REPORT_DATA_SIZE} are taken")
        level = self.config.vmpl if vmpl is None else vmpl
        if not self.config.vmpl <= level <= 3:
            raise ValueError(f"privilege level {level}; {self.config.vmpl} to 3 can be asked for")
        return self.chip.report(
            report_data,
            measurement=self.measurement,
            host_data=self.host_data,
            policy=self.config.guest_policy,
            vmpl=level,
            guest_svn=self.config.guest_svn,
            version=self.config.report_version,
        )

    def table(self) -> bytes:
        """The certificate table that travels with a report."""
        return certificate_table(self.chip.certificates())


def launch(config: SimulatorConfig, now: datetime) -> Machine:
    """Measures image, vCPUs, command line and init data, as hardware does at launch.

    Raises:
        OperatorError: QNSP-OPS-046: a file or folder cannot be used.
    """
    try:
        pki = make_pki(config.pki, config.product, now=now)
        chip = load_chip(config.folder, pki, now, tcb=config.tcb)
        image = config.image.read_bytes()
        initdata = config.initdata.read_bytes() if config.initdata else b""
    except (OSError, ValueError) as error:
        raise OperatorError("QNSP-OPS-046", f"the simulator cannot launch: {error}") from error
    return Machine(chip, measure(image, config.vcpus, config.cmdline), host_data(initdata), config)


__all__ = ["REPORT_DATA_SIZE", "Machine", "launch"]
