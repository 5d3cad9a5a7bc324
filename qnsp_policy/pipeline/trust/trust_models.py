"""What each unit rests on, said plainly: who is trusted and who is not, what is measured, what is not, what is not protected.

Comes in: units. Goes out: the member `restsOn` of a plan, which approvers see beside the trust diff. It follows from a unit's program and
attester, so no document can say better of itself than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Json = dict[str, Any]

ADMINISTRATORS = (
    "whoever may act as the key administrator's role, and whoever applies a unit with keys takes it on: it can replace a key policy, and "
    "with it let anybody decrypt. The organisation policies of this plan are not put in force by it; once the management account did, "
    "that role stays apart and plaintext takes an attestation document, though one of any enclave or instance that a replaced policy names, "
    "the administrator's own too. Root of the management account can lift them"
)

ACCOUNT = (
    "what an administrator of this account can still do: take the key administrator's role on, or say who may (until the organisation's policy "
    "forbids it); end, starve or replace fleets, and so stop everything; read who talks to whom and when; seal data of their own under a key; "
    "start the same image elsewhere in the account, under a fleet's role, where it attests as that fleet does"
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
            "that a parent reports its enclave as in service: it proves nothing, keys follow evidence only",
        ],
        "notProtected": [
            "availability: the parent can stop the enclave, hand it an old ciphertext, a wrong time or no network",
            "traffic beyond the enclave's own TLS, and its size and timing",
            "side channels of a processor that the enclave's cores share with other cores",
        ],
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
            "what it writes to its disks and its console: administrators of this account copy the ones and read the other",
            "memory: there is no memory-encryption quote; this is measured boot, never a hardware TEE",
            "a running system against whoever gets into it: measurements are of its start",
            "the GPU: no confidential mode, no report of NVIDIA; weights cross the bus in clear inside AWS",
            "TCB: the document carries no firmware versions",
        ],
    },
    "sev-snp": {
        "assurance": "hardware-tee",
        "trusted": ["AMD for the confidentiality of memory", "AWS: the firmware that it starts, and its updates"],
        "notTrusted": ["other guests of the host"],
        "measured": ["the launch digest, which covers the provider's firmware only"],
        "notMeasured": ["kernel, command line, root file system, workload: no path from the launch digest to them"],
        "notProtected": [
            "keys of tenants: none is released here",
            "an instance against administrators of this account: they choose its image and its disk",
            "availability",
        ],
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
        "notMeasured": [
            "leases, quotas and TCB floors: KMS knows none; only dates stand in the policy",
            "what a fleet does with plaintext once it has it: taking a statement away does not take a key back",
        ],
        "notProtected": [
            ACCOUNT,
            "availability: disabling a key stops its fleets; a key whose administrator's role was deleted has no administrator",
            "signing keys: Sign takes no attestation",
            "what KMS hands out, against whoever records it and later breaks RSA: its envelope is RSA-OAEP, classical",
        ],
    }


def foundation_statement(inputs: Mapping[str, Any]) -> Json:
    """The trust model of the network, its records and its roles."""
    limit = (
        "the boundary that every one of them has limits what it gives them, as far as its own policy asks for that boundary"
        if inputs["foundation"]["boundary"]
        else "without `boundary` nothing limits what it gives them: it is an administrator of this account"
    )
    return {
        "assurance": "none",
        "trusted": [
            "AWS",
            "administrators of this account, for availability and for records until object lock holds them",
            f"whoever may act as the engine's role: it makes roles and hands them to instances, and {limit}",
        ],
        "notTrusted": ["the network: it carries TLS that ends inside attesters"],
        "measured": [],
        "notMeasured": ["everything here: it protects availability and records, never keys"],
        "notProtected": [
            "records of CloudTrail before they are delivered",
            "the names of tenants, fleets and resources, which stand in policies, aliases, tags and logs",
            "records under GOVERNANCE, outside production, against whoever may bypass it",
        ],
    }


def _broker_statement(inputs: Mapping[str, Any]) -> Json:
    """A broker in a Nitro enclave: its fleet, and the key that opens its store."""
    found = fleet_statement("nitro-enclave")
    if not inputs.get("keys"):
        unasked = "who becomes this broker: nobody asks for its measurement, and whoever holds its keys releases every key in its hands"
        found = {**found, "notMeasured": [*found["notMeasured"], unasked]}
    if inputs.get("keys"):
        return {
            **found,
            "trusted": [*found["trusted"], ADMINISTRATORS],
            "notProtected": [
                *found["notProtected"],
                ACCOUNT,
                "its store against an older copy of itself: KMS opens either",
            ],
        }
    return {**found, "notProtected": [*found["notProtected"], "its store: no key of KMS opens it"]}


def _tenant_statement() -> Json:
    """What brokers hold of a tenant."""
    return {
        "assurance": "none",
        "trusted": [
            "the brokers that serve this tenant, and what they rest on",
            "the TrustRoot's identities, as many as its thresholds ask for",
        ],
        "notTrusted": ["a broker's administrators: what they alone may do is read and tighten", "other tenants"],
        "measured": [],
        "notMeasured": ["the policies themselves: they are signed and approved, not measured"],
        "notProtected": ["names of resources and of enclaves: every administrator of a broker reads them"],
    }


_MACHINE = "whoever is root on this machine, or runs as this user"


def _local_statement(what: str) -> Json:
    """Processes on this machine, with simulated hardware."""
    return {
        "assurance": "simulated",
        "trusted": [_MACHINE],
        "notTrusted": [],
        "measured": ["what simulated hardware says of itself: SIMULATED HARDWARE PROVES NOTHING"]
        if what == "fleet"
        else [],
        "notMeasured": [
            "everything that runs: no hardware stands behind it",
            *(
                ["who becomes this broker: whoever runs it, or holds its keys, releases every key in its hands"]
                if what == "broker"
                else []
            ),
        ],
        "notProtected": {
            "platform": ["processes and their files"],
            "broker": ["its keys: files that this user reads", "its store and its memory"],
            "fleet": ["models, prompts and keys in memory"],
        }[what],
    }


_STATEMENTS: Mapping[str, Callable[[Mapping[str, Any]], Json]] = {
    "platform": lambda _: _local_statement("platform"),
    "broker": lambda _: _local_statement("broker"),
    "tenant": lambda _: _tenant_statement(),
    "enclave": lambda _: _local_statement("fleet"),
    "endpoint": lambda _: _local_statement("fleet"),
    "aws-platform": foundation_statement,
    "aws-keys": lambda _: keys_statement(),
    "aws-broker": _broker_statement,
    "aws-enclave": lambda inputs: fleet_statement(inputs["enclave"]["attester"]),
    "aws-endpoint": lambda inputs: fleet_statement(inputs["attester"]),
}
"""By program: every one has a statement."""


def rests_on(units: Iterable[Mapping[str, Any]]) -> dict[str, Json]:
    """The statement of each unit of a plan's payload, by id."""
    return {unit["id"]: _rehearsed(_STATEMENTS[unit["program"]](unit["inputs"]), unit["inputs"]) for unit in units}


def _rehearsed(statement: Json, inputs: Mapping[str, Any]) -> Json:
    """On a platform of a cloud that is simulated nothing is better than the simulation."""
    if not inputs.get("platform", {}).get("simulated") or statement["assurance"] in {"none", "simulated"}:
        return statement
    told = "a rehearsal: this is what simulated hardware says of itself, and SIMULATED HARDWARE PROVES NOTHING"
    return {**statement, "assurance": "simulated", "measured": [told, *statement["measured"]]}


__all__ = ["ACCOUNT", "ADMINISTRATORS", "fleet_statement", "foundation_statement", "keys_statement", "rests_on"]
