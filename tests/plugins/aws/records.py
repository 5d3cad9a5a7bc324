"""What keeps records: buckets and their settings, the trail, log groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.plugins.aws.kind import Json, Kind, pairs, tags_of, words


def _bucket_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    shape: Json = {"Bucket": inputs["bucket"], "ObjectLockEnabledForBucket": bool(inputs.get("objectLockEnabled"))}
    if aws.region != "us-east-1":
        shape["CreateBucketConfiguration"] = {"LocationConstraint": aws.region}
    aws("s3").create_bucket(**shape)
    if pairs(inputs):
        aws("s3").put_bucket_tagging(Bucket=inputs["bucket"], Tagging={"TagSet": pairs(inputs)})
    return inputs["bucket"], {"arn": f"arn:aws:s3:::{inputs['bucket']}"}


def _there(aws: Any, bucket: str) -> bool:
    return bucket in {one["Name"] for one in aws("s3").list_buckets()["Buckets"]}


def _bucket_read(aws: Any, found: str, state: Json) -> Json | None:
    if not _there(aws, found):
        return None
    s3 = aws("s3")
    locked = _asked(lambda: s3.get_object_lock_configuration(Bucket=found)["ObjectLockConfiguration"])
    return {
        "bucket": found,
        "objectLockEnabled": bool(locked) and locked.get("ObjectLockEnabled") == "Enabled",
        "forceDestroy": state.get("forceDestroy", False),
        "tags": tags_of(_asked(lambda: s3.get_bucket_tagging(Bucket=found)) or {}, "TagSet"),
        "arn": f"arn:aws:s3:::{found}",
    }


def _asked(call: Callable[[], Any]) -> Any:
    """An answer, None where S3 says that there is no such setting."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchTagSet", "ObjectLockConfigurationNotFoundError"}:
            return None
        raise


def _bucket_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    if pairs(new):
        aws("s3").put_bucket_tagging(Bucket=found, Tagging={"TagSet": pairs(new)})
    else:
        aws("s3").delete_bucket_tagging(Bucket=found)
    return {}


def _bucket_drop(aws: Any, found: str, state: Json) -> None:
    """A bucket that holds something stays: AWS refuses, unless the program said that it may go with all of it."""
    if state.get("forceDestroy"):
        for page in aws("s3").get_paginator("list_object_versions").paginate(Bucket=found):
            for one in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                aws("s3").delete_object(Bucket=found, Key=one["Key"], VersionId=one["VersionId"])
    aws("s3").delete_bucket(Bucket=found)


_BLOCKS = (("blockPublicAcls", "BlockPublicAcls"), ("blockPublicPolicy", "BlockPublicPolicy"),
           ("ignorePublicAcls", "IgnorePublicAcls"), ("restrictPublicBuckets", "RestrictPublicBuckets"))  # fmt: skip


def _block_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    wanted = {member: bool(inputs.get(name)) for name, member in _BLOCKS}
    aws("s3").put_public_access_block(Bucket=inputs["bucket"], PublicAccessBlockConfiguration=wanted)
    return inputs["bucket"], {}


def _block_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    held = aws("s3").get_public_access_block(Bucket=found)["PublicAccessBlockConfiguration"]
    return {"bucket": found, **{name: held[member] for name, member in _BLOCKS}}


def _block_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("s3").delete_public_access_block(Bucket=found)


def _encryption_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    rules = []
    for rule in inputs["rules"]:
        default = rule["applyServerSideEncryptionByDefault"]
        shape = {"SSEAlgorithm": default["sseAlgorithm"]}
        if default.get("kmsMasterKeyId"):
            shape["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        rules.append({"ApplyServerSideEncryptionByDefault": shape})
    aws("s3").put_bucket_encryption(Bucket=inputs["bucket"], ServerSideEncryptionConfiguration={"Rules": rules})
    return inputs["bucket"], {}


def _encryption_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    held = aws("s3").get_bucket_encryption(Bucket=found)["ServerSideEncryptionConfiguration"]["Rules"]
    rules = []
    for rule in held:
        default = rule["ApplyServerSideEncryptionByDefault"]
        shape = {"sseAlgorithm": default["SSEAlgorithm"]}
        if default.get("KMSMasterKeyID"):
            shape["kmsMasterKeyId"] = default["KMSMasterKeyID"]
        rules.append({"applyServerSideEncryptionByDefault": shape})
    return {"bucket": found, "rules": rules}


def _encryption_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("s3").delete_bucket_encryption(Bucket=found)


def _versioning_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    status = inputs["versioningConfiguration"]["status"]
    aws("s3").put_bucket_versioning(Bucket=inputs["bucket"], VersioningConfiguration={"Status": status})
    return inputs["bucket"], {}


def _versioning_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    status = aws("s3").get_bucket_versioning(Bucket=found).get("Status", "Suspended")
    return {"bucket": found, "versioningConfiguration": {"status": status}}


def _lock_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    kept = inputs["rule"]["defaultRetention"]
    rule = {"DefaultRetention": {"Mode": kept["mode"], "Days": int(kept["days"])}}
    aws("s3").put_object_lock_configuration(
        Bucket=inputs["bucket"], ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    return inputs["bucket"], {}


def _lock_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    held = aws("s3").get_object_lock_configuration(Bucket=found)["ObjectLockConfiguration"]
    kept = (held.get("Rule") or {}).get("DefaultRetention") or {}
    return {"bucket": found, "rule": {"defaultRetention": {"mode": kept.get("Mode"), "days": kept.get("Days")}}}


def _policy_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    aws("s3").put_bucket_policy(Bucket=inputs["bucket"], Policy=inputs["policy"])
    return inputs["bucket"], {}


def _policy_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    return {"bucket": found, "policy": aws("s3").get_bucket_policy(Bucket=found)["Policy"]}


def _policy_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("s3").delete_bucket_policy(Bucket=found)


def _nothing(aws: Any, found: str, state: Json) -> None:
    """Goes with its bucket: AWS cannot take it back."""
    del aws, found, state


_TRAIL = (("s3BucketName", "S3BucketName"), ("isMultiRegionTrail", "IsMultiRegionTrail"), ("kmsKeyId", "KmsKeyId"),
          ("includeGlobalServiceEvents", "IncludeGlobalServiceEvents"),
          ("enableLogFileValidation", "EnableLogFileValidation"))  # fmt: skip


def _trail_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    shape = {member: inputs[name] for name, member in _TRAIL if inputs.get(name) is not None}
    tags = {"TagsList": pairs(inputs)} if pairs(inputs) else {}
    made = aws("cloudtrail").create_trail(Name=inputs["name"], **shape, **tags)
    _trail_events(aws, inputs)
    if inputs.get("enableLogging", True):
        aws("cloudtrail").start_logging(Name=inputs["name"])
    return inputs["name"], {"arn": made["TrailARN"], "homeRegion": aws.region}


def _trail_events(aws: Any, inputs: Json) -> None:
    if inputs.get("eventSelectors"):
        selectors = [
            {
                "ReadWriteType": one.get("readWriteType", "All"),
                "IncludeManagementEvents": one.get("includeManagementEvents", True),
                "DataResources": [
                    {"Type": data["type"], "Values": data["values"]} for data in one.get("dataResources") or []
                ],
            }
            for one in inputs["eventSelectors"]
        ]
        aws("cloudtrail").put_event_selectors(TrailName=inputs["name"], EventSelectors=selectors)
    if inputs.get("advancedEventSelectors"):
        advanced = [
            {
                "Name": one["name"],
                "FieldSelectors": [
                    {"Field": test["field"], **{member: test[name] for name, member in _TESTS if test.get(name)}}
                    for test in one["fieldSelectors"]
                ],
            }
            for one in inputs["advancedEventSelectors"]
        ]
        aws("cloudtrail").put_event_selectors(TrailName=inputs["name"], AdvancedEventSelectors=advanced)


_TESTS = (("equals", "Equals"), ("notEquals", "NotEquals"), ("startsWiths", "StartsWith"),
          ("notStartsWiths", "NotStartsWith"), ("endsWiths", "EndsWith"))  # fmt: skip


def _advanced(aws: Any, name: str) -> list[Json]:
    return [
        {
            "name": one.get("Name", ""),
            "fieldSelectors": [
                {"field": test["Field"], **{key: test[member] for key, member in _TESTS if test.get(member)}}
                for test in one["FieldSelectors"]
            ],
        }
        for one in aws("cloudtrail").get_event_selectors(TrailName=name).get("AdvancedEventSelectors") or []
    ]


def _selectors(aws: Any, name: str) -> list[Json]:
    found = []
    for one in aws("cloudtrail").get_event_selectors(TrailName=name)["EventSelectors"]:
        selector: Json = {
            "readWriteType": one.get("ReadWriteType", "All"),
            "includeManagementEvents": one.get("IncludeManagementEvents", True),
        }
        if one.get("DataResources"):
            selector["dataResources"] = [{"type": d["Type"], "values": d["Values"]} for d in one["DataResources"]]
        found.append(selector)
    # What every trail records anyway is told as no selector.
    default = [{"readWriteType": "All", "includeManagementEvents": True}]
    return [] if found == default else found


def _trail_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    trails = aws("cloudtrail").describe_trails(trailNameList=[found])["trailList"]
    if not trails:
        return None
    trail = trails[0]
    tags = aws("cloudtrail").list_tags(ResourceIdList=[trail["TrailARN"]])["ResourceTagList"]
    return {
        "name": trail["Name"],
        "s3BucketName": trail["S3BucketName"],
        "isMultiRegionTrail": trail["IsMultiRegionTrail"],
        "includeGlobalServiceEvents": trail["IncludeGlobalServiceEvents"],
        "enableLogFileValidation": trail["LogFileValidationEnabled"],
        "enableLogging": aws("cloudtrail").get_trail_status(Name=found)["IsLogging"],
        "eventSelectors": _selectors(aws, found),
        "advancedEventSelectors": _advanced(aws, found),
        "kmsKeyId": trail.get("KmsKeyId", ""),
        "tags": tags_of(tags[0], "TagsList") if tags else {},
        "arn": trail["TrailARN"],
        "homeRegion": trail["HomeRegion"],
    }


def _trail_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    shape = {member: new[name] for name, member in _TRAIL if new.get(name) is not None}
    aws("cloudtrail").update_trail(Name=found, **shape)
    if old.get("eventSelectors") and not new.get("eventSelectors"):
        new = {**new, "eventSelectors": [{}]}
    _trail_events(aws, new)
    logging = new.get("enableLogging", True)
    getattr(aws("cloudtrail"), "start_logging" if logging else "stop_logging")(Name=found)
    return {}


def _trail_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("cloudtrail").delete_trail(Name=found)


def _log_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    logs = aws("logs")
    logs.create_log_group(
        logGroupName=inputs["name"],
        **({"kmsKeyId": inputs["kmsKeyId"]} if inputs.get("kmsKeyId") else {}),
        **({"tags": inputs["tags"]} if inputs.get("tags") else {}),
    )
    if inputs.get("retentionInDays"):
        logs.put_retention_policy(logGroupName=inputs["name"], retentionInDays=int(inputs["retentionInDays"]))
    return inputs["name"], {"arn": aws.arn("logs", f"log-group:{inputs['name']}")}


def _log_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    for page in aws("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=found):
        for group in page["logGroups"]:
            if group["logGroupName"] == found:
                return {
                    "name": found,
                    "retentionInDays": group.get("retentionInDays", 0),
                    "kmsKeyId": group.get("kmsKeyId", ""),
                    "tags": aws("logs").list_tags_log_group(logGroupName=found)["tags"],
                    "arn": aws.arn("logs", f"log-group:{found}"),
                }
    return None


def _log_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    logs = aws("logs")
    if new.get("retentionInDays"):
        logs.put_retention_policy(logGroupName=found, retentionInDays=int(new["retentionInDays"]))
    else:
        logs.delete_retention_policy(logGroupName=found)
    if gone := [key for key in old.get("tags") or {} if key not in (new.get("tags") or {})]:
        logs.untag_log_group(logGroupName=found, tags=gone)
    if new.get("tags"):
        logs.tag_log_group(logGroupName=found, tags=new["tags"])
    return {}


def _log_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("logs").delete_log_group(logGroupName=found)


def _again(function: Callable[[Any, Json], tuple[str, Json]]) -> Callable[[Any, str, Json, Json], Json]:
    """An update of what is put, not made."""

    def again(aws: Any, found: str, old: Json, new: Json) -> Json:
        del found, old
        return function(aws, new)[1]

    return again


KINDS: dict[str, Kind] = {
    "aws:s3/bucket:Bucket": Kind(
        _bucket_make, _bucket_read, _bucket_drop, words("bucket objectLockEnabled forceDestroy tags"), _bucket_update,
        words("bucket objectLockEnabled"),
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": Kind(
        _block_put, _block_read, _block_drop, words("bucket") | {name for name, _ in _BLOCKS}, _again(_block_put),
        words("bucket"),
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Kind(
        _encryption_put, _encryption_read, _encryption_drop, words("bucket rules"), _again(_encryption_put),
        words("bucket"),
    ),
    "aws:s3/bucketVersioning:BucketVersioning": Kind(
        _versioning_put, _versioning_read, _nothing, words("bucket versioningConfiguration"), _again(_versioning_put),
        words("bucket"),
    ),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": Kind(
        _lock_put, _lock_read, _nothing, words("bucket rule"), _again(_lock_put), words("bucket")
    ),
    "aws:s3/bucketPolicy:BucketPolicy": Kind(
        _policy_put, _policy_read, _policy_drop, words("bucket policy"), _again(_policy_put), words("bucket")
    ),
    "aws:cloudtrail/trail:Trail": Kind(
        _trail_make, _trail_read, _trail_drop,
        words("name enableLogging eventSelectors advancedEventSelectors tags") | {name for name, _ in _TRAIL}, _trail_update, words("name"),
    ),
    "aws:cloudwatch/logGroup:LogGroup": Kind(
        _log_make, _log_read, _log_drop, words("name retentionInDays kmsKeyId tags"), _log_update,
        words("name kmsKeyId"),
    ),
}  # fmt: skip

__all__ = ["KINDS"]
