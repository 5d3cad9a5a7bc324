"""Roles, their policies, and the keys of KMS."""

from __future__ import annotations

import json
from typing import Any

from tests.plugins.aws.kind import Json, Kind, pairs, tags_of, words


def _role_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("iam").create_role(
        RoleName=inputs["name"], Path=inputs["path"], AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
        MaxSessionDuration=int(inputs.get("maxSessionDuration") or 3600), Tags=pairs(inputs),
        **({"PermissionsBoundary": inputs["permissionsBoundary"]} if inputs.get("permissionsBoundary") else {}),
    )["Role"]  # fmt: skip
    return inputs["name"], {"arn": made["Arn"]}


def _role_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    role = aws("iam").get_role(RoleName=found)["Role"]
    return {
        "name": role["RoleName"],
        "path": role["Path"],
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"], sort_keys=True),
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
        "permissionsBoundary": (role.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn", ""),
        "tags": tags_of(role),
        "arn": role["Arn"],
    }


def _role_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    iam = aws("iam")
    iam.update_assume_role_policy(RoleName=found, PolicyDocument=new["assumeRolePolicy"])
    iam.update_role(RoleName=found, MaxSessionDuration=int(new.get("maxSessionDuration") or 3600))
    if new.get("permissionsBoundary"):
        iam.put_role_permissions_boundary(RoleName=found, PermissionsBoundary=new["permissionsBoundary"])
    elif old.get("permissionsBoundary"):
        iam.delete_role_permissions_boundary(RoleName=found)
    if gone := [key for key in old.get("tags") or {} if key not in (new.get("tags") or {})]:
        iam.untag_role(RoleName=found, TagKeys=gone)
    if pairs(new):
        iam.tag_role(RoleName=found, Tags=pairs(new))
    return {}


def _role_drop(aws: Any, found: str, state: Json) -> None:
    """As the real provider: what others attached makes AWS refuse."""
    del state
    aws("iam").delete_role(RoleName=found)


def _inline_put(aws: Any, inputs: Json) -> tuple[str, Json]:
    aws("iam").put_role_policy(RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"])
    return f"{inputs['role']}:{inputs['name']}", {}


def _inline_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    role, _, name = found.partition(":")
    held = aws("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return {"role": role, "name": name, "policy": held if isinstance(held, str) else json.dumps(held, sort_keys=True)}


def _inline_drop(aws: Any, found: str, state: Json) -> None:
    del state
    role, _, name = found.partition(":")
    aws("iam").delete_role_policy(RoleName=role, PolicyName=name)


def _inline_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del found, old
    return _inline_put(aws, new)[1]


def _profile_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    made = aws("iam").create_instance_profile(
        InstanceProfileName=inputs["name"], Path=inputs["path"], Tags=pairs(inputs)
    )
    aws("iam").add_role_to_instance_profile(InstanceProfileName=inputs["name"], RoleName=inputs["role"])
    return inputs["name"], {"arn": made["InstanceProfile"]["Arn"]}


def _profile_read(aws: Any, found: str, state: Json) -> Json | None:
    profile = aws("iam").get_instance_profile(InstanceProfileName=found)["InstanceProfile"]
    return {
        "name": profile["InstanceProfileName"],
        "path": profile["Path"],
        "role": next((role["RoleName"] for role in profile["Roles"]), ""),
        # moto keeps tags of a profile, but does not tell them everywhere.
        "tags": tags_of(profile) or state.get("tags") or {},
        "arn": profile["Arn"],
    }


def _profile_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    if old.get("role") != new["role"]:
        if old.get("role"):
            aws("iam").remove_role_from_instance_profile(InstanceProfileName=found, RoleName=old["role"])
        aws("iam").add_role_to_instance_profile(InstanceProfileName=found, RoleName=new["role"])
    if pairs(new):
        aws("iam").tag_instance_profile(InstanceProfileName=found, Tags=pairs(new))
    return {}


def _profile_drop(aws: Any, found: str, state: Json) -> None:
    del state
    held = aws("iam").get_instance_profile(InstanceProfileName=found)["InstanceProfile"]
    for role in held["Roles"]:
        aws("iam").remove_role_from_instance_profile(InstanceProfileName=found, RoleName=role["RoleName"])
    aws("iam").delete_instance_profile(InstanceProfileName=found)


def _key_tags(tags: Json | None) -> list[Json]:
    return [{"TagKey": key, "TagValue": value} for key, value in (tags or {}).items()]


def _key_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    if inputs.get("multiRegion"):
        raise ValueError("the stand-in makes keys of one region only: no key of ours is copied")
    made = aws("kms").create_key(
        Description=inputs["description"], KeySpec=inputs["customerMasterKeySpec"], KeyUsage=inputs["keyUsage"],
        Policy=inputs["policy"], Tags=_key_tags(inputs.get("tags")),
        BypassPolicyLockoutSafetyCheck=bool(inputs.get("bypassPolicyLockoutSafetyCheck")),
    )["KeyMetadata"]  # fmt: skip
    if inputs.get("enableKeyRotation"):
        aws("kms").enable_key_rotation(KeyId=made["KeyId"])
    return made["KeyId"], {"arn": made["Arn"], "keyId": made["KeyId"]}


def _key_read(aws: Any, found: str, state: Json) -> Json | None:
    kms = aws("kms")
    key = kms.describe_key(KeyId=found)["KeyMetadata"]
    if key["KeyState"] == "PendingDeletion":
        return None
    symmetric = key["KeySpec"] == "SYMMETRIC_DEFAULT"
    return {
        "description": key["Description"],
        "customerMasterKeySpec": key["KeySpec"],
        "keyUsage": key["KeyUsage"],
        "multiRegion": key.get("MultiRegion", False),
        "isEnabled": key["KeyState"] != "Disabled",
        "policy": kms.get_key_policy(KeyId=found, PolicyName="default")["Policy"],
        "enableKeyRotation": symmetric and kms.get_key_rotation_status(KeyId=found)["KeyRotationEnabled"],
        "tags": {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=found)["Tags"]},
        # Not told by AWS.
        "deletionWindowInDays": state.get("deletionWindowInDays", 30),
        "bypassPolicyLockoutSafetyCheck": state.get("bypassPolicyLockoutSafetyCheck", False),
        "arn": key["Arn"],
        "keyId": key["KeyId"],
    }


def _key_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    kms = aws("kms")
    if old.get("isEnabled") is False:
        kms.enable_key(KeyId=found)
    kms.put_key_policy(KeyId=found, PolicyName="default", Policy=new["policy"])
    kms.update_key_description(KeyId=found, Description=new["description"])
    if bool(old.get("enableKeyRotation")) != bool(new.get("enableKeyRotation")):
        (kms.enable_key_rotation if new.get("enableKeyRotation") else kms.disable_key_rotation)(KeyId=found)
    if gone := [key for key in old.get("tags") or {} if key not in (new.get("tags") or {})]:
        kms.untag_resource(KeyId=found, TagKeys=gone)
    if new.get("tags"):
        kms.tag_resource(KeyId=found, Tags=_key_tags(new["tags"]))
    return {"isEnabled": True}


def _key_drop(aws: Any, found: str, state: Json) -> None:
    aws("kms").schedule_key_deletion(KeyId=found, PendingWindowInDays=int(state["deletionWindowInDays"]))


def _alias_read(aws: Any, found: str, state: Json) -> Json | None:
    del state
    for page in aws("kms").get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            if alias["AliasName"] == found:
                return {"name": found, "targetKeyId": alias.get("TargetKeyId", "")}
    return None


def _alias_make(aws: Any, inputs: Json) -> tuple[str, Json]:
    aws("kms").create_alias(AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
    return inputs["name"], {}


def _alias_update(aws: Any, found: str, old: Json, new: Json) -> Json:
    del old
    aws("kms").update_alias(AliasName=found, TargetKeyId=new["targetKeyId"])
    return {}


def _alias_drop(aws: Any, found: str, state: Json) -> None:
    del state
    aws("kms").delete_alias(AliasName=found)


KINDS: dict[str, Kind] = {
    "aws:iam/role:Role": Kind(
        _role_make, _role_read, _role_drop,
        words("name path assumeRolePolicy maxSessionDuration permissionsBoundary tags"), _role_update,
        words("name path"),
    ),
    "aws:iam/rolePolicy:RolePolicy": Kind(
        _inline_put, _inline_read, _inline_drop, words("name role policy"), _inline_update, words("name role")
    ),
    "aws:iam/instanceProfile:InstanceProfile": Kind(
        _profile_make, _profile_read, _profile_drop, words("name path role tags"), _profile_update, words("name path")
    ),
    "aws:kms/key:Key": Kind(
        _key_make, _key_read, _key_drop,
        words("description customerMasterKeySpec keyUsage policy multiRegion enableKeyRotation deletionWindowInDays "
              "bypassPolicyLockoutSafetyCheck isEnabled tags"),
        _key_update, words("customerMasterKeySpec keyUsage multiRegion"), {"isEnabled": True},
    ),
    "aws:kms/alias:Alias": Kind(
        _alias_make, _alias_read, _alias_drop, words("name targetKeyId"), _alias_update, words("name")
    ),
}  # fmt: skip

__all__ = ["KINDS"]
