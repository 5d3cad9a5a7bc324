"""The clients of one provider of the stand-in, with the credentials and the endpoint of the environment."""

from __future__ import annotations

import json
import threading
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

Json = dict[str, Any]


class Aws:
    """Clients, made when they are needed; roles are taken on as the real provider does.

    Raises:
        ValueError: the account is not one that the program allows.
    """

    def __init__(self, args: Json) -> None:
        self.region = args.get("region") or "eu-west-1"
        core = botocore.session.get_session()
        session = boto3.Session(region_name=self.region, botocore_session=core)
        roles = decoded(args.get("assumeRoles")) or []
        self.account = session.client("sts").get_caller_identity()["Account"]
        for role in roles:
            taken = session.client("sts").assume_role(
                RoleArn=role["roleArn"], RoleSessionName=role.get("sessionName") or "stand-in"
            )["Credentials"]
            role_core = botocore.session.get_session()
            # Each session looks through the descriptions of every service otherwise: twice a third of a second.
            role_core.register_component("data_loader", core.get_component("data_loader"))
            session = boto3.Session(
                taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"], self.region, role_core
            )
            self.account = role["roleArn"].split(":")[4]
        allowed = decoded(args.get("allowedAccountIds")) or [self.account]
        if self.account not in allowed:
            raise ValueError(f"AWS account {self.account} is not among the allowed ones: {', '.join(allowed)}")
        self._session, self._clients, self._lock = session, dict[str, Any](), threading.Lock()

    def __call__(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                # As many attempts as the real provider makes.
                config = Config(retries={"mode": "standard", "max_attempts": 25}, max_pool_connections=32)
                self._clients[service] = self._session.client(service, config=config)
            return self._clients[service]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


def decoded(value: Any) -> Any:
    """Members of a provider's configuration travel as JSON text."""
    return json.loads(value) if isinstance(value, str) else value
