"""One simulated member: what was launched on a chip, and the evidence that it gives for report data; its GPUs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.canonical import digest_like
from qnsp_policy.simulator import dcap
from qnsp_policy.simulator.config import SimulatorConfig
from qnsp_policy.simulator.devices import Gpus, make_gpus
from qnsp_policy.simulator.kept import intel, put
from qnsp_policy.simulator.measure import host_data, measure
from qnsp_policy.simulator.snp import SnpChip, certificate_table, load_chip, make_pki

REPORT_DATA_SIZE = 64
"""Bytes of `inblob`; the kernel's sev-guest driver takes exactly these."""
_FMSPC: Final = bytes.fromhex("51d000000000")
"""Of every simulated TDX platform, so that one set of collateral fits a fleet."""
_COLLATERAL_DAYS: Final = 30


class Machine(Protocol):
    """What a member's hardware offers, whichever it is; its measurement never changes again."""

    @property
    def provider(self) -> str:
        """The word of configfs-tsm for it."""
        ...

    @property
    def gpus(self) -> Gpus | None: ...

    def identity(self) -> Mapping[str, str]:
        """What it measured, for whoever writes reference values."""
        ...

    def report(self, report_data: bytes, *, vmpl: int | None = None) -> bytes:
        """Evidence over 64 bytes of report data.

        Raises:
            ValueError: another length, or a privilege level that cannot be asked for.
        """
        ...

    def table(self) -> bytes:
        """The certificates that travel with evidence; empty where none do."""
        ...


def _checked(report_data: bytes) -> bytes:
    if len(report_data) != REPORT_DATA_SIZE:
        raise ValueError(f"report data of {len(report_data)} bytes; exactly {REPORT_DATA_SIZE} are taken")
    return report_data


@dataclass(frozen=True, slots=True)
class SnpMachine:
    """A member on a simulated AMD chip."""

    chip: SnpChip
    measurement: bytes
    host_data: bytes
    config: SimulatorConfig
    gpus: Gpus | None = None
    provider: str = "sev_guest"

    def identity(self) -> Mapping[str, str]:
        return {
            "product": self.chip.pki.product,
            "measurement": self.measurement.hex(),
            "hostData": self.host_data.hex(),
        }

    def report(self, report_data: bytes, *, vmpl: int | None = None) -> bytes:
        level = self.config.vmpl if vmpl is None else vmpl
        data = _checked(report_data)
        if not self.config.vmpl <= level <= 3:
            raise ValueError(f"privilege level {level}; {self.config.vmpl} to 3 can be asked for")
        return self.chip.report(
            data,
            measurement=self.measurement,
            host_data=self.host_data,
            policy=self.config.guest_policy,
            vmpl=level,
            guest_svn=self.config.guest_svn,
            version=self.config.report_version,
        )

    def table(self) -> bytes:
        return certificate_table(self.chip.certificates())


@dataclass(frozen=True, slots=True)
class TdxMachine:
    """A member on a simulated Intel platform: MRTD is the simulator's measurement, MRCONFIGID the digest of the init data."""

    platform: dcap.IntelPlatform
    mr_td: bytes
    mr_config_id: bytes
    gpus: Gpus | None = None
    provider: str = "tdx_guest"

    def identity(self) -> Mapping[str, str]:
        return {"mrTd": self.mr_td.hex(), "mrConfigId": self.mr_config_id.hex()}

    def report(self, report_data: bytes, *, vmpl: int | None = None) -> bytes:
        if vmpl is not None:
            raise ValueError("a TD has no privilege level to ask for")
        body = dcap.td_report(report_data=_checked(report_data), mr_td=self.mr_td, mr_config_id=self.mr_config_id)
        return self.platform.quote(body, version=4)

    def table(self) -> bytes:
        return b""  # a quote brings its own chain


def launch(config: SimulatorConfig, now: datetime) -> Machine:
    """Measures image, vCPUs, command line and init data, as hardware does at launch.

    Raises:
        OperatorError: QNSP-OPS-046: a file or folder cannot be used.
    """
    try:
        image = config.image.read_bytes()
        if config.image_digest and (found := digest_like(config.image_digest, image)) != config.image_digest:
            raise ValueError(f"{config.image} is {found}, and the plan's is {config.image_digest}")
        digest = host_data(config.initdata.read_bytes() if config.initdata else b"")
        measured = measure(image, config.vcpus, config.cmdline)
        gpus = make_gpus(config.pki, config.gpus, config.gpu_architecture, now) if config.gpus else None
        if config.attester == "tdx":
            return _launch_td(config, measured, digest, gpus, now)
        vendor = make_pki(config.pki, config.product, now=now)
        begin, end = _window(now)
        put(config.pki / "collateral/amd.crl", vendor.crl(this_update=begin, next_update=end))
        chip = load_chip(config.folder, vendor, now, tcb=config.tcb)
    except (OSError, ValueError) as error:
        raise OperatorError("QNSP-OPS-046", f"the simulator cannot launch: {error}") from error
    return SnpMachine(chip, measured, digest, config, gpus)


def _window(now: datetime) -> tuple[datetime, datetime]:
    """From when to when collateral that is written now holds."""
    return now - timedelta(hours=1), now + timedelta(days=_COLLATERAL_DAYS)


def _launch_td(config: SimulatorConfig, measured: bytes, digest: bytes, gpus: Gpus | None, now: datetime) -> TdxMachine:
    """A TD; the collateral of its platform goes to `<pki>/collateral`."""
    platform = dcap.make_platform(intel(config.pki / "intel", now), td=True, fmspc=_FMSPC)
    begin, end = _window(now)
    for name, data in dcap.collateral_files(platform, begin, end).items():
        put(config.pki / "collateral" / name, data)
    return TdxMachine(platform, measured, digest.ljust(48, b"\0"), gpus)


__all__ = ["REPORT_DATA_SIZE", "Machine", "SnpMachine", "TdxMachine", "launch"]
