"""What a preview never asks AWS, asked before anything is made; read-only, every answer one of ok, refused, unknown.

Asked: whose credentials these are, and whether they may take on the two roles; whether IAM lets these roles do what the plan does; whether
each principal that a key policy names is there; whether a fleet's type is offered in its zones and is what its attester needs; what the
image is, also one behind a parameter (boot mode, TPM support, architecture, owner, state); whether a start would be permitted (EC2
DryRun); whether the account's quotas leave room (vCPUs, roles, groups, balancers, networks, trails). Unreachable, throttled or not permitted is `unknown` and told so: never taken for a yes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from qnsp_policy.pipeline.world.aws_calls_edge import Clients
from qnsp_policy.pipeline.world.aws_edge import clients
from qnsp_policy.pipeline.world.aws_permissions import KEYS
from qnsp_policy.pipeline.world.aws_preflight_account_edge import account_quotas, simulated
from qnsp_policy.pipeline.world.aws_preflight_fleets_edge import Answer, fleet_questions, quota_question

Json = Mapping[str, Any]
Ask = Callable[[], Answer]
_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


@dataclass(frozen=True, slots=True)
class Checked:
    """One answer: `verdict` is ok, refused or unknown."""

    unit: str
    check: str
    verdict: str
    text: str

    def to_json(self) -> dict[str, str]:
        return {"unit": self.unit, "check": self.check, "verdict": self.verdict, "text": self.text}


def preflight(
    units: Sequence[Json], *, actions: Sequence[Json] = (), connect: Callable[[Json], Clients] = clients
) -> tuple[Checked, ...]:
    """Ask about every unit of a plan that is on AWS.

    Args:
        units: the `units` of a plan's payload.
        actions: its `actions`; what they do is held against IAM.
        connect: makes the clients of one platform; replaceable by fakes.
    """
    found: list[Checked] = []
    steps = {action["unit"]: [step for step in action["steps"] if step["op"] != "delete"] for action in actions}
    places: defaultdict[tuple[str, str], list[Json]] = defaultdict(list)
    roles = {
        _arn(unit["inputs"]["foundation"], role["name"])
        for unit in units
        for role in unit["inputs"].get("foundation", {}).get("roles", ())
    }
    for unit in units:
        if str(unit["program"]).startswith("aws-"):
            platform = unit["inputs"]["platform"]
            places[platform["account"], platform["region"]].append(unit)
    for here in places.values():
        platform = here[0]["inputs"]["platform"]
        try:
            aws = connect(platform)
        except (ClientError, BotoCoreError) as error:
            found.append(Checked(here[0]["id"], "credentials", "unknown", f"AWS could not be asked: {_said(error)}"))
            continue
        for unit in here:
            questions = _questions(aws, unit["inputs"], steps.get(unit["id"], ()), roles)
            found += [_asked(unit["id"], check, ask) for check, ask in questions]
        fleets = [unit["inputs"]["fleet"] for unit in here if "fleet" in unit["inputs"]]
        found += [
            _asked(f"platform/{platform.get('name', '')}", f"quota {name}", ask)
            for name, ask in (
                *quota_question(aws, fleets),
                *account_quotas(aws, [step for unit in here for step in steps.get(unit["id"], ())]),
            )
        ]
    return tuple(found)


def _arn(foundation: Json, name: str) -> str:
    return (
        f"arn:{foundation.get('partition', 'aws')}:iam::{foundation.get('account')}:role{foundation.get('path')}{name}"
    )


def _said(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        return f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', '')}"
    return str(error)


def _asked(unit: str, check: str, ask: Ask) -> Checked:
    try:
        good, text = ask()
    except (ClientError, BotoCoreError) as error:
        return Checked(unit, check, "unknown", f"AWS did not say ({_said(error)})")
    return Checked(unit, check, "unknown" if good is None else "ok" if good else "refused", text)


def _questions(aws: Clients, inputs: Json, steps: Iterable[Json], roles: set[str]) -> Iterator[tuple[str, Ask]]:
    platform = inputs["platform"]
    role, admin = platform.get("role"), inputs.get("keyAdmin")
    if "foundation" in inputs:
        yield "account", lambda: _account(aws, platform)
        if role:
            yield "role", lambda: _taken_on(aws, role)
    if admin:
        yield "key-admin", lambda: _taken_on(aws, admin)
    types = {step["type"] for step in steps if step["type"].startswith("aws:")}
    for who, mine in ((role, types - set(KEYS)), (admin, types & set(KEYS))):
        if who and mine:
            yield f"permissions of {who.rsplit('/', 1)[-1]}", partial(simulated, aws, who, mine, inputs)
    for principal in sorted(_principals(inputs.get("keys", ())) - roles):
        yield "grantee", lambda principal=principal: _there(aws, principal)  # type: ignore[misc]
    fleet = inputs.get("fleet")
    if fleet is not None:
        yield from fleet_questions(aws, fleet, platform)


def _account(aws: Clients, platform: Json) -> Answer:
    held = aws("sts").get_caller_identity()
    good = held["Account"] == platform["account"]
    return good, f"the credentials are of {held['Arn']}" + (
        "" if good else f"; the platform is account {platform['account']}"
    )


def _taken_on(aws: Clients, arn: str) -> Answer:
    """The very call by which an apply begins."""
    try:
        aws("sts").assume_role(RoleArn=arn, RoleSessionName="qnsp-preflight", DurationSeconds=900)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _REFUSED:
            raise
        return False, f"these credentials may not take on {arn}, or there is no such role"
    return True, f"these credentials may take on {arn}"


def _principals(keys: Iterable[Json]) -> set[str]:
    """Roles that key policies allow something."""
    return {
        statement["Principal"]["AWS"]
        for key in keys
        for statement in key["policy"]["Statement"]
        if statement["Effect"] == "Allow" and ":role/" in str(statement["Principal"].get("AWS", ""))
    }


def _there(aws: Clients, arn: str) -> Answer:
    name = arn.rsplit("/", 1)[-1]
    try:
        found = aws("iam").get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchEntity":
            raise
        return False, f"there is no role {arn}; KMS refuses a key policy that names it"
    return found == arn, f"role {found}" + (
        "" if found == arn else f", not {arn}; KMS refuses a key policy that names it"
    )


__all__ = ["Checked", "preflight"]
