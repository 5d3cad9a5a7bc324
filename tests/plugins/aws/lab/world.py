"""The lab: an AWS-shaped server, one prepared workspace, and every instance of its fleets as a real process of this machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.exceptions import ClientError

from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass
from qnsp_policy.pipeline.model.kinds import Artefact, Endpoint, KeyBroker, Platform
from qnsp_policy.pipeline.model.workspace_edge import load
from qnsp_policy.simulator import nitro
from qnsp_policy.testing.iam_evaluator import Request, allowed
from tests.plugins.aws.double import ACCOUNT, Double
from tests.plugins.aws.lab.fleets import Fleets
from tests.plugins.aws.lab.ground import BALANCERS, Addresses, Said, Tools
from tests.plugins.aws.lab.kms import LabKms
from tests.plugins.aws.lab.prepare import LAB, image, prepare, upload

Json = Mapping[str, Any]


@dataclass
class Lab:
    """One workspace and the cloud that it is applied to.

    Attributes:
        root: the workspace; prepared when the lab begins.
        patience: seconds a new member may take to attest, in the place of the hook's quarter of an hour.
    """

    root: Path
    port: int = 0
    patience: float = 600.0
    said: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="qnsp-lab-"))
        self.addresses, self.pki = Addresses(), nitro.mint_pki(datetime.now(UTC))
        workspace = load(self.root)
        platform = next(one for one in workspace.of_kind(Platform) if one.spec.type == "aws")
        self.region, self.role = str(getattr(platform.spec, "region", "")), str(getattr(platform.spec, "role", ""))
        self.said += prepare(self.root, self.pki.bundle[0])
        self.names = {}
        for one in (*workspace.of_kind(KeyBroker), *workspace.of_kind(Endpoint)):
            host, _, port = str(one.spec.listen).rpartition(":")
            self.names[host, int(port)] = (self.addresses.next(BALANCERS), int(port))
        self.double = Double(self.port).__enter__()
        self.fleets = Fleets(self)
        self.double.players = self.fleets
        self._tools = Tools(self.folder, self._tool)
        anchor = Anchor("aws", self.pki.bundle[0], AssuranceClass.SIMULATED)
        self._kms = LabKms(self.folder, anchor, {}, "", clients=self.client, role_of=self.role_of)
        self._kms.start()
        self.upload()
        return self

    def __exit__(self, *_: object) -> None:
        self.fleets.close()
        self._tools.close()
        self._kms.stop()
        self.double.__exit__()
        self.addresses.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a shell needs that plans and applies."""
        return {
            "AWS_ENDPOINT_URL": self.double.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": self.region,
            "QNSP_REACH": ",".join(f"{host}:{port}={to}:{at}" for (host, port), (to, at) in self.names.items()),
        }

    def changed(self, name: str, word: str) -> str:
        """Another image of a fleet: its workload says another word. The documents name it, and it lies in its bucket."""
        said = image(self.root, name, word)
        self.upload()
        return said

    def upload(self) -> None:
        """Put what documents place in buckets there."""
        upload(self.root, self.client("s3"), self.region)

    def client(self, service: str) -> Any:
        """A client in the account of the platform."""
        common = {"endpoint_url": self.double.url, "region_name": self.region}
        sts = boto3.client("sts", aws_access_key_id="lab", aws_secret_access_key="lab", **common)
        taken = sts.assume_role(RoleArn=self.role, RoleSessionName="lab")["Credentials"]
        return boto3.client(
            service,
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
            **common,
        )

    # what members ask

    @property
    def tools(self) -> Path:
        return self._tools.folder

    @property
    def kms(self) -> tuple[int, Path]:
        return self._kms.port, self._kms.root

    def fetch(self, member: str, location: str) -> bytes | None:
        """An object, if the member's role may read it."""
        bucket, _, key = location.removeprefix("s3://").partition("/")
        if not self._may(member, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"):
            return None
        try:
            return bytes(self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
        except ClientError:
            return None

    def resolve(self, host: str, port: int) -> tuple[str, int]:
        return self.names.get((host, port), (host, port))

    def address_of(self, port: int) -> str | None:
        """Names are told apart by their port: those of the examples differ."""
        return next((address for (_, wanted), (address, _) in self.names.items() if wanted == port), None)

    def complete(self, member: str, group: str, hook: str) -> bool:
        resource = f"arn:aws:autoscaling:{self.region}:{ACCOUNT}:autoScalingGroup:lab:autoScalingGroupName/{group}"
        may = self._may(member, "autoscaling:CompleteLifecycleAction", resource)
        return may and self.fleets.complete(member, group, hook)

    def ami(self, name: str) -> Path | None:
        """The folder of an AMI's fleet."""
        for artefact in load(self.root).of_kind(Artefact):
            if str(artefact.spec.location) == name:
                return next((path.parent for path in (self.root / LAB).glob("*/registration.json")), None)
        return None

    def role_of(self, member: str) -> tuple[str, Json] | None:
        """ARN and policy of a member's role, as they stand at the server now."""
        played = self.fleets.members.get(member)
        if played is None:
            return None
        iam = self.client("iam")
        try:
            name = played.data["IamInstanceProfile"]["Name"]
            role = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"][0]
            statements: list[Any] = []
            for policy in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
                held = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=policy)["PolicyDocument"]
                statements += held["Statement"]
        except (ClientError, KeyError, IndexError):
            return None
        return role["Arn"], {"Version": "2012-10-17", "Statement": statements}

    def _may(self, member: str, action: str, resource: str) -> bool:
        role = self.role_of(member)
        if role is None:
            return False
        network = {"aws:SourceVpc": "vpc-lab", "aws:Ec2InstanceSourceVpc": "vpc-lab", "ec2:SourceInstanceARN": member}
        return allowed(Request(role[0], action, network, resource), None, [role[1]])

    def _tool(self, member: str, argv: Sequence[str]) -> Said:
        played = self.fleets.members.get(member)
        if played is None:
            return Said(1, "", "this instance ended\n")
        try:
            return played.tool(argv)
        except Exception as error:  # noqa: BLE001 - the script sees a failed command, its console the reason
            return Said(1, "", f"{argv[0]}: {type(error).__name__}: {error}\n")

    def logs(self) -> str:
        """What members wrote, for whoever looks for a cause."""
        return "\n".join(
            f"== {path.relative_to(self.folder)}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.folder / "members").rglob("*.log"))
        )


def told(lab: Lab) -> str:
    """The environment as a shell reads it."""
    return "\n".join(f"export {name}={json.dumps(value)}" for name, value in lab.environment.items())


__all__ = ["Lab", "told"]
