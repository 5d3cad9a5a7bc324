"""What the devices of one machine must satisfy together (step 10): count, architecture, distinct, mode, topology.

Comes in: verified claims of each GPU and switch. Goes out: nothing; the first rule that does not hold raises. Whole-node
protected PCIe (PPCIE) is eight Hopper GPUs with four switches whose NVLink neighbours agree both ways; Blackwell encrypts NVLink
and brings no switch. DEVTOOLS mode cannot be seen in a report: it is what the collector says (`devtools`), and refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from qnsp_policy.kernel.attestation.nvidia_gpu import codes
from qnsp_policy.kernel.attestation.nvidia_gpu.verify import claims_of, parsed_list
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Machine, VerifiedClaims


def _mode(device: VerifiedClaims) -> str:
    if "mode" in device.claims:
        return str(device.claims["mode"])
    return "ppcie" if device.claims.get("ppcie") is True else "spt"


def _topology(gpus: Sequence[VerifiedClaims], switches: Sequence[VerifiedClaims]) -> None:
    own = [next(iter(parsed_list(switch.claims, "pdi")), "") for switch in switches]
    if "" in own or len(set(own)) != len(own):
        raise EvidenceError(codes.SET_TOPOLOGY, "a switch states no identifier of its own, or two state the same")
    linked = frozenset(bytes.fromhex(pdi)[::-1].hex() for pdi in own)  # a neighbour is named in the other byte order
    for gpu in gpus:
        if parsed_list(gpu.claims, "switchPdis") != linked:
            raise EvidenceError(codes.SET_TOPOLOGY, "a GPU is linked to other switches than those that are attested")
    neighbours = {parsed_list(switch.claims, "gpuPdis") for switch in switches}
    if len(neighbours) != 1 or len(next(iter(neighbours))) != len(gpus):
        raise EvidenceError(codes.SET_TOPOLOGY, "the switches are linked to other GPUs than those that are attested")


def judge(
    gpus: Sequence[VerifiedClaims], switches: Sequence[VerifiedClaims], declared: Machine, *, devtools: bool = False
) -> None:
    """Judges a machine's devices together.

    Raises:
        EvidenceError: QNSP-ATT-NV-060 to -066, in the order count, repeated, architecture, nonce, mode, DEVTOOLS, topology.
    """
    for what, devices, count in (("GPUs", gpus, declared.gpus), ("NVSwitches", switches, declared.switches)):
        if len(devices) != count:
            raise EvidenceError(codes.SET_COUNT, subject=what, expected=str(count), got=str(len(devices)))
        identities = claims_of(devices, "deviceId")
        if len(set(identities)) != len(identities):
            raise EvidenceError(codes.SET_REPEATED, subject=what)
        chips = set(zip(claims_of(devices, "architecture"), claims_of(devices, "chip"), strict=True))
        if len(chips) > 1:
            raise EvidenceError(
                codes.SET_ARCHITECTURE,
                subject=what,
                got=", ".join(sorted(f"{chip} ({architecture})" for architecture, chip in chips)),
            )
    if len({device.report_data for device in (*gpus, *switches)}) > 1:
        raise EvidenceError(codes.SET_NONCE)
    modes = {_mode(gpu) for gpu in gpus}
    if len(modes) > 1 or (declared.mode and gpus and modes != {declared.mode}):
        raise EvidenceError(codes.SET_MODE, expected=declared.mode or "one mode", got=", ".join(sorted(modes)))
    if devtools or declared.devtools:
        raise EvidenceError(codes.SET_DEVTOOLS)
    if switches:
        _topology(gpus, switches)


__all__ = ["Machine", "judge"]
