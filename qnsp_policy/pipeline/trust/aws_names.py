"""Names of what a workspace has on AWS: known before anything exists, so that policies can hold them at plan time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.kinds import Platform
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.model.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Names:
    """Names within one platform of one workspace."""

    workspace: str
    platform: str
    account: str
    region: str
    partition: str

    @classmethod
    def of(cls, workspace: Workspace, platform: Platform) -> Names:
        """The names of one AWS platform.

        Raises:
            OperatorError: QNSP-PLN-220, it is no AWS platform; -221, a name would be longer than AWS takes.
        """
        spec = platform.spec
        if not isinstance(spec, AwsPlatform):
            raise OperatorError("QNSP-PLN-220", f"{platform.address} is not on AWS", subject=str(platform.address))
        found = cls(workspace.project.name, platform.name, str(spec.account), str(spec.region), spec.partition)
        if len(found.bucket("evidence")) > 63:
            raise OperatorError(
                "QNSP-PLN-221",
                f"the bucket {found.bucket('evidence')} would have more than 63 characters",
                subject=str(platform.address),
                place=workspace.place(workspace.project.address, "metadata", "name"),
                next_step="give the project a shorter name",
            )
        return found

    @classmethod
    def at(cls, workspace: str, platform: Mapping[str, Any]) -> Names:
        """The same, from a platform as units hold it."""
        return cls(workspace, platform["name"], platform["account"], platform["region"], platform["partition"])

    def arn(self, service: str, resource: str, *, regional: bool = True) -> str:
        """An ARN in this account."""
        return f"arn:{self.partition}:{service}:{self.region if regional else ''}:{self.account}:{resource}"

    @property
    def root(self) -> str:
        return self.arn("iam", "root", regional=False)

    @property
    def path(self) -> str:
        """IAM path of every role of this workspace."""
        return f"/qnsp/{self.workspace}/"

    @property
    def aliases(self) -> str:
        """What every alias begins with, without `alias/`."""
        return f"qnsp/{self.workspace}"

    @property
    def service_suffix(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    def role_name(self, fleet: str) -> str:
        """Name of a fleet's role and instance profile: an account has each name once, whatever the path."""
        return self._short(f"qnsp-{self.workspace}-{fleet}", 64, fleet)

    def role(self, fleet: str) -> str:
        """ARN of a fleet's role."""
        return self.arn("iam", f"role{self.path}{self.role_name(fleet)}", regional=False)

    @property
    def foundation(self) -> str:
        """Name of the platform's own things: trail, roles of services."""
        return f"qnsp-{self.workspace}-{self.platform}"

    def service_role(self, service: str) -> str:
        """Name of the role of a service of AWS."""
        return f"{self.foundation}-{service}"[:64]

    def doors(self, what: str) -> str:
        """Name of a security group of the platform's own."""
        return f"{self.foundation}-{what}"

    def alias(self, resource: str) -> str:
        return f"alias/{self.aliases}/{resource}"

    def log_group(self, name: str) -> str:
        return f"/qnsp/{self.workspace}/{name}"

    def group(self, fleet: str) -> str:
        """Name of a fleet's auto-scaling group and launch template."""
        return f"qnsp-{self.workspace}-{fleet}"

    def balancer(self, name: str) -> str:
        """Name of a load balancer or target group: at most 32 characters, once in an account and region."""
        return self._short(f"qnsp-{self.workspace}-{name}", 32, name)

    def _short(self, text: str, most: int, name: str) -> str:
        """`text`, or as much of it as fits with a digest of all that it stands for."""
        if len(text) <= most:
            return text
        mark = hashlib.sha256(f"{self.workspace}/{self.platform}/{name}".encode()).hexdigest()[:8]
        return f"{text[: most - 9].rstrip('-')}-{mark}"

    def bucket(self, purpose: str) -> str:
        return f"qnsp-{self.workspace}-{self.account}-{self.region}-{purpose}"


__all__ = ["Names"]
