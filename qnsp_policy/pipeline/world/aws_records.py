"""How buckets, trails and logs of AWS are told: one function a resource type, over what was read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qnsp_policy.pipeline.world.aws_seen import UNREAD, Extra, Found, Json, Seen, tags_of
from qnsp_policy.pipeline.world.observed import Concern

_EVERYBODY = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)
_TESTS = (("equals", "Equals"), ("notEquals", "NotEquals"), ("startsWiths", "StartsWith"), ("endsWiths", "EndsWith"),
          ("notStartsWiths", "NotStartsWith"), ("notEndsWiths", "NotEndsWith"))  # fmt: skip


def bucket(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    name = wanted["bucket"]
    if name not in seen["buckets"]:
        return None
    open_to = [
        f"{grant['Grantee']['URI'].rpartition('/')[2]} may {grant['Permission']}"
        for grant in seen[f"bucket ACLs:{name}"]["Grants"]
        if grant["Grantee"].get("URI") in _EVERYBODY
    ]
    lock = seen[f"object locks:{name}"]
    inputs = {
        "bucket": name,
        "objectLockEnabled": lock is not None and lock.get("ObjectLockEnabled") == "Enabled",
        "forceDestroy": UNREAD,
        "tags": tags_of(seen[f"bucket tags:{name}"] or {}, "TagSet"),
    }
    extras = tuple(Extra(f"its access list says: {text}", got=text) for text in open_to)
    return Found({"id": name, "bucket": name, "arn": f"arn:aws:s3:::{name}"}, inputs, extras)


def public_access(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    held = seen[f"public access blocks:{wanted['bucket']}"]
    if held is None:
        return None
    names = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    return Found({}, {"bucket": wanted["bucket"], **{name: held[name[0].upper() + name[1:]] for name in names}})


def encryption(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    held = seen[f"bucket encryption:{wanted['bucket']}"]
    if held is None:
        return None
    rules = []
    for rule in held["Rules"]:
        default = rule["ApplyServerSideEncryptionByDefault"]
        shape = {"sseAlgorithm": default["SSEAlgorithm"]}
        if default.get("KMSMasterKeyID"):
            shape["kmsMasterKeyId"] = default["KMSMasterKeyID"]
        rules.append({"applyServerSideEncryptionByDefault": shape})
    return Found({}, {"bucket": wanted["bucket"], "rules": rules})


def versioning(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    status = seen[f"versioning:{wanted['bucket']}"]
    return Found({}, {"bucket": wanted["bucket"], "versioningConfiguration": {"status": status or "Disabled"}})


def object_lock(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    held = seen[f"object locks:{wanted['bucket']}"]
    kept = ((held or {}).get("Rule") or {}).get("DefaultRetention")
    if kept is None:
        return None
    days = kept.get("Days") or 365 * int(kept.get("Years") or 0)
    return Found({}, {"bucket": wanted["bucket"], "rule": {"defaultRetention": {"mode": kept["Mode"], "days": days}}})


def bucket_policy(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    held = seen[f"bucket policies:{wanted['bucket']}"]
    return None if held is None else Found({}, {"bucket": wanted["bucket"], "policy": held})


def trail(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    found = seen["trails"].get(wanted["name"])
    if found is None:
        return None
    selected, status = seen[f"event selectors:{wanted['name']}"], seen[f"trail status:{wanted['name']}"]
    inputs: dict[str, Any] = {
        "name": found["Name"],
        "s3BucketName": found["S3BucketName"],
        "isMultiRegionTrail": found["IsMultiRegionTrail"],
        "includeGlobalServiceEvents": found["IncludeGlobalServiceEvents"],
        "enableLogFileValidation": found["LogFileValidationEnabled"],
        "enableLogging": status["IsLogging"],
        "kmsKeyId": found.get("KmsKeyId"),
        "advancedEventSelectors": _advanced(selected) if wanted.get("advancedEventSelectors") else UNREAD,
        "eventSelectors": _plain(selected) if wanted.get("eventSelectors") else UNREAD,
        "tags": UNREAD,
    }
    chosen = wanted.get("advancedEventSelectors") or wanted.get("eventSelectors")
    # Advanced selectors take the place of plain ones.
    replaced = bool(selected.get("AdvancedEventSelectors")) and not wanted.get("advancedEventSelectors")
    extras = list(_less(selected)) if not chosen or replaced else []
    if status.get("LatestDeliveryError"):
        extras.append(Extra(f"it cannot deliver: {status['LatestDeliveryError']}", Concern.AVAILABILITY))
    return Found({"id": found["Name"], "arn": found["TrailARN"]}, inputs, tuple(extras))


def _plain(selected: Json) -> list[Json]:
    found: list[Json] = []
    for one in selected.get("EventSelectors") or ():
        told: dict[str, Any] = {
            "readWriteType": one.get("ReadWriteType", "All"),
            "includeManagementEvents": one.get("IncludeManagementEvents", True),
        }
        if one.get("DataResources"):
            told["dataResources"] = [{"type": data["Type"], "values": data["Values"]} for data in one["DataResources"]]
        if one.get("ExcludeManagementEventSources"):
            told["excludeManagementEventSources"] = one["ExcludeManagementEventSources"]
        found.append(told)
    return found


def _advanced(selected: Json) -> list[Json]:
    return [
        {
            "name": one.get("Name", ""),
            "fieldSelectors": [
                {"field": test["Field"], **{name: test[member] for name, member in _TESTS if test.get(member)}}
                for test in one["FieldSelectors"]
            ],
        }
        for one in selected.get("AdvancedEventSelectors") or ()
    ]


def _less(selected: Json) -> Iterator[Extra]:
    """Where nothing was declared every management event is recorded."""
    plain = selected.get("EventSelectors") or ()
    whole = any(one.get("IncludeManagementEvents", True) and one.get("ReadWriteType", "All") == "All" for one in plain)
    if (plain and not whole) or selected.get("AdvancedEventSelectors"):
        yield Extra("its event selectors leave management events out", expected="all", got="fewer")
    hidden = sorted({source for one in plain for source in one.get("ExcludeManagementEventSources") or ()})
    if hidden:
        yield Extra(f"its event selectors leave out {', '.join(hidden)}", expected="all", got=", ".join(hidden))


def log_group(wanted: Json, seen: Seen, known: Json) -> Found | None:
    del known
    found = seen["log groups"].get(wanted["name"])
    if found is None:
        return None
    inputs = {
        "name": wanted["name"],
        "retentionInDays": found.get("retentionInDays"),
        "kmsKeyId": found.get("kmsKeyId"),
        "tags": UNREAD,
    }
    return Found({"id": wanted["name"], "arn": str(found["arn"]).removesuffix(":*")}, inputs)


__all__ = [
    "bucket",
    "bucket_policy",
    "encryption",
    "log_group",
    "object_lock",
    "public_access",
    "trail",
    "versioning",
]
