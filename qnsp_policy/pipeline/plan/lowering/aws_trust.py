"""What a unit on AWS rests on, said plainly: who is trusted, what is measured, what is not. Shown by the plan."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.lowering.context import Json

ADMINISTRATORS = (
    "whoever may act as the key administrator's role can replace a key policy; the organisation policies of this plan, put in "
    "force by the management account, keep that role apart; root of the management account stays trusted"
)

_FLEETS: dict[str, Json] = {
    "nitro-enclave": {
        "assurance": "provider-isolation",
        "trusted": ["AWS: Nitro hypervisor, its attestation key and KMS", "the publisher of the enclave image"],
        "notTrusted": ["administrators of this account", "the parent instance and whatever runs on it"],
        "measured": ["PCR0 enclave image", "PCR1 kernel and boot ramdisk", "PCR2 application"],
        "notMeasured": [
            "initdata: what the enclave must pin (broker, tenant) is built into its image",
            "the parent instance, its operating system and its user data",
        ],
        "notProtected": ["availability: the parent can stop the enclave", "traffic beyond the enclave's own TLS"],
    },
    "nitro-tpm": {
        "assurance": "measured-boot",
        "trusted": ["AWS: Nitro system, NitroTPM's key and KMS", "everything that the measured image starts"],
        "notTrusted": ["administrators of this account who cannot change the image"],
        "measured": ["PCR4 boot image (standard boot) or PCR7 Secure Boot keys", "PCR12 additions to the command line"],
        "notMeasured": [
            "what the running system loads later, unless its root is dm-verity",
            "GPU firmware and driver state",
        ],
        "notProtected": [
            "memory: there is no memory-encryption quote; this is measured boot, never a hardware TEE",
            "the GPU: no confidential mode, no report of NVIDIA; weights cross the bus in clear inside AWS",
            "TCB: the document carries no firmware versions",
        ],
    },
    "sev-snp": {
        "assurance": "hardware-tee",
        "trusted": ["AMD for the confidentiality of memory", "AWS: the firmware that it starts, and its updates"],
        "notTrusted": ["other guests of the host"],
        "measured": ["the launch digest covers the provider's firmware only"],
        "notMeasured": ["kernel, command line, root file system, workload: no path from the launch digest to them"],
        "notProtected": ["keys of tenants: none is released here", "availability"],
    },
}


def fleet_statement(attester: str) -> Json:
    """The trust model of one fleet."""
    return dict(_FLEETS[attester])


def keys_statement() -> Json:
    """The trust model of keys in KMS."""
    return {
        "assurance": "provider-isolation",
        "trusted": ["AWS KMS: it compares the registers and keeps the key", ADMINISTRATORS],
        "notTrusted": ["root and administrators of this account, the engine's own role, the fleets' parents"],
        "measured": ["the registers of each statement, all of one tuple"],
        "notMeasured": ["leases, quotas and TCB floors: KMS knows none; only dates stand in the policy"],
        "notProtected": ["availability: disabling a key stops its fleets", "signing keys: Sign takes no attestation"],
    }


def foundation_statement() -> Json:
    """The trust model of the network and its records."""
    return {
        "assurance": "none",
        "trusted": [
            "AWS",
            "administrators of this account, for availability and for records until object lock holds them",
        ],
        "notTrusted": ["the network: it carries TLS that ends inside attesters"],
        "measured": [],
        "notMeasured": ["everything here: it protects availability and records, never keys"],
        "notProtected": ["records of CloudTrail before they are delivered"],
    }


__all__ = ["ADMINISTRATORS", "fleet_statement", "foundation_statement", "keys_statement"]
