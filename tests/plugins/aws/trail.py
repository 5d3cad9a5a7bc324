"""Hand-made: what CloudTrail would tell of calls that change keys and roles; moto records none.

The form is that of LookupEvents (CloudTrail API reference). An event is told at once, where AWS takes minutes.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from moto.backends import get_backend

Json = dict[str, Any]
RECORDED = frozenset({
    "AttachRolePolicy", "CreateGrant", "DeleteAlias", "DeleteRole", "DeleteRolePolicy", "DisableKey", "PutKeyPolicy",
    "PutRolePolicy", "ScheduleKeyDeletion", "UpdateAlias", "UpdateAssumeRolePolicy",
})  # fmt: skip


class Trail:
    """Events of one server, newest last."""

    def __init__(self) -> None:
        self.events: list[Json] = []

    def record(self, service: str, operation: str, region: str, access_key: str, body: bytes) -> None:
        """Keep one call that was carried out."""
        if operation not in RECORDED:
            return
        asked = _asked(service, body)
        now = datetime.now(UTC)
        told = {
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventName": operation,
            "eventSource": f"{service}.amazonaws.com",
            "userIdentity": _caller(access_key),
            "requestParameters": asked,
        }
        target = asked.get("keyId") or asked.get("roleName") or asked.get("aliasName")
        self.events.append({
            "EventId": str(uuid.uuid4()),
            "EventName": operation,
            "EventTime": now.timestamp(),
            "Resources": [{"ResourceName": target}],
            "CloudTrailEvent": json.dumps(told),
            # IAM is recorded in one region.
            "region": "us-east-1" if service == "iam" else region,
        })  # fmt: skip

    def lookup(self, region: str, body: bytes) -> bytes:
        """One page of LookupEvents."""
        asked = json.loads(body)
        wanted = {one["AttributeValue"] for one in asked.get("LookupAttributes", ())}
        start = float(asked.get("StartTime", 0))
        found = [
            {name: value for name, value in event.items() if name != "region"}
            for event in reversed(self.events)
            if event["region"] == region and event["EventName"] in wanted and event["EventTime"] >= start
        ]
        return json.dumps({"Events": found}).encode()


def _asked(service: str, body: bytes) -> Json:
    if service == "kms":
        told: Mapping[str, Any] = json.loads(body)
    else:
        told = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    return {name[:1].lower() + name[1:]: value for name, value in told.items() if name not in {"Action", "Version"}}


def _caller(access_key: str) -> Json:
    """Who holds temporary credentials; moto keeps the roles that were taken on."""
    for account in get_backend("sts").values():
        for backend in account.values():
            for role in backend.assumed_roles:
                if role.access_key_id == access_key:
                    return {
                        "type": "AssumedRole",
                        "arn": role.arn,
                        "sessionContext": {"sessionIssuer": {"type": "Role", "arn": role.role_arn}},
                    }
    return {"type": "Root", "arn": "arn:aws:iam::123456789012:root"}


__all__ = ["Trail"]
