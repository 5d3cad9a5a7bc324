"""The examples on AWS are valid, pass their checks, plan without any credential, and hold what they promise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import DocumentErrors, OperatorError
from qnsp_policy.pipeline.plan.lowering.aws_platform import _service_name
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.review.plan_text import render_plan
from qnsp_policy.pipeline.trust.aws_attested import PREFIX
from qnsp_policy.pipeline.trust.aws_key_policy import CONTEXT
from qnsp_policy.pipeline.trust.aws_names import Names
from qnsp_policy.testing.aws_examples import CLOUD_TEMPLATES, NOW, initialised, planned, units_of
from qnsp_policy.testing.iam_evaluator import Request, allowed
from qnsp_policy.workflows.check import check
from qnsp_policy.workflows.validate import validate

ACCOUNT = "arn:aws:iam::012345678901"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    folder = tmp_path_factory.mktemp("aws")
    return {template: initialised(folder, template) for template in CLOUD_TEMPLATES}


@pytest.fixture(scope="module")
def units(roots: Mapping[str, Path]) -> Mapping[str, Mapping[str, Unit]]:
    return {template: units_of(planned(root)) for template, root in roots.items()}


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_an_example_plans_with_nothing_blocking(template: str, roots: Mapping[str, Path]) -> None:
    """No credential, no network; what is waived is waived by a signed document, and the trust diff names each key."""
    plan = planned(roots[template])
    assert not plan.blocked
    assert not [
        finding
        for finding in plan.payload["findings"]
        if finding["severity"] in {"high", "critical"} and not finding.get("waivedBy")
    ]
    assert {action["op"] for action in plan.payload["actions"]} == {"create"}
    assert all(action["steps"] for action in plan.payload["actions"] if not action["unit"].startswith("tenant/"))


@pytest.mark.parametrize("template", CLOUD_TEMPLATES)
def test_every_unit_on_aws_says_what_it_rests_on(template: str, roots: Mapping[str, Path]) -> None:
    """Who is trusted and who is not, what is measured and what is not: in the signed plan, and in what it prints."""
    payload = planned(roots[template]).payload
    assert payload["restsOn"].keys() == {unit["id"] for unit in payload["units"]}
    text = render_plan(payload)
    for unit, model in payload["restsOn"].items():
        assert model["trusted"]
        assert model["notTrusted"]
        assert model["notProtected"]
        assert unit in text.partition("Rests on")[2]
        for told in (*model["trusted"], *model["notTrusted"], *model["notMeasured"], *model["notProtected"]):
            assert told in text


def test_what_aws_cannot_prove_is_not_said_better_than_it_is(roots: Mapping[str, Path]) -> None:
    """NitroTPM is measured boot and no TEE; SEV-SNP of EC2 covers firmware; a key administrator can replace a policy."""
    gpu = planned(roots["aws-nitrotpm-gpu"]).payload["restsOn"]
    assert gpu["enclave/trainer"]["assurance"] == "measured-boot"
    assert any("never a hardware TEE" in told for told in gpu["enclave/trainer"]["notProtected"])
    assert any("key administrator" in told for told in gpu["aws-keys/clinic"]["trusted"])
    snp = planned(roots["aws-snp"]).payload["restsOn"]["enclave/batch"]
    assert any("firmware only" in told for told in snp["measured"])
    assert any("keys of tenants" in told for told in snp["notProtected"])


def _keys(units: Mapping[str, Unit]) -> dict[str, Any]:
    return {key["resource"]: key for unit in units.values() for key in unit.inputs.get("keys", ())}


def _decrypt(resource: str, role: str, registers: Mapping[str, str], prefix: str) -> Request:
    named = {
        f"{PREFIX}{'ImageSha384' if f'{prefix}{n}' == 'PCR0' else f'{prefix}{n}'}": v for n, v in registers.items()
    }
    context = {f"kms:EncryptionContext:{CONTEXT}": resource, "aws:CurrentTime": "2026-11-22T00:00:00Z", **named}
    return Request(f"{ACCOUNT}:role/qnsp/{role}", "kms:Decrypt", context)


def _measured(unit: Unit) -> dict[str, str]:
    return {name.removeprefix("pcr"): value for name, value in unit.inputs["enclave"]["measurements"][0].items()}


def test_nitro_key_opens_for_the_measured_fleet_only(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """The computed policy, evaluated: whole tuple yes, one register off no, the broker's fleet no."""
    found = units["aws-nitro"]
    policy = _keys(found)["clinic/data/records"]["policy"]
    shown = _measured(found["enclave/triage"])
    resource = "clinic/data/records"
    assert allowed(_decrypt(resource, "aws-nitro/qnsp-aws-nitro-triage", shown, "PCR"), policy)
    assert not allowed(_decrypt(resource, "aws-nitro/qnsp-aws-nitro-main", shown, "PCR"), policy)
    assert not allowed(_decrypt(resource, "aws-nitro/qnsp-aws-nitro-triage", {**shown, "2": "ee" * 48}, "PCR"), policy)
    assert not allowed(_decrypt(resource, "aws-nitro/qnsp-aws-nitro-triage", {}, "PCR"), policy)


def test_nitro_tpm_key_needs_the_untouched_command_line(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """PCR12 stands in the statement, and another value of it opens nothing."""
    found = units["aws-nitrotpm-gpu"]
    policy = _keys(found)["clinic/data/records"]["policy"]
    shown = _measured(found["enclave/trainer"])
    resource = "clinic/data/records"
    assert allowed(_decrypt(resource, "aws-gpu/qnsp-aws-gpu-trainer", shown, "NitroTPMPCR"), policy)
    assert not allowed(
        _decrypt(resource, "aws-gpu/qnsp-aws-gpu-trainer", {**shown, "12": "ee" * 48}, "NitroTPMPCR"), policy
    )


def test_roles_hold_what_grants_need_and_nothing_beside(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """The fleet reads its own image, asks for its own key; not the broker's image, no wildcard, no EC2 or IAM."""
    roles = {
        role["name"]: role["policy"] for role in units["aws-nitro"]["platform/cloud"].inputs["foundation"]["roles"]
    }
    fleet = f"{ACCOUNT}:role/qnsp/aws-nitro/qnsp-aws-nitro-triage"

    def ask(action: str, resource: str, **context: Any) -> bool:
        return allowed(Request(fleet, action, context, resource), None, [roles["qnsp-aws-nitro-triage"]])

    assert ask("s3:GetObject", "arn:aws:s3:::clinic-artefacts/triage.eif")
    # What is sealed travels in the image: nothing of ours reads it from there, and the trail records who does.
    assert not ask("s3:GetObject", "arn:aws:s3:::clinic-artefacts/triage.sealed")
    trail = units["aws-nitro"]["platform/cloud"].inputs["foundation"]["trail"]["objects"]
    assert "arn:aws:s3:::clinic-artefacts/triage.sealed" in trail
    assert not ask("s3:GetObject", "arn:aws:s3:::clinic-artefacts/broker.eif")
    assert not ask("s3:PutObject", "arn:aws:s3:::clinic-artefacts/triage.sealed")
    key = "arn:aws:kms:eu-west-1:012345678901:key/1"
    mine = {
        "kms:ResourceAliases": ["alias/qnsp/aws-nitro/clinic/data/records/v1"],
        f"kms:EncryptionContext:{CONTEXT}": "clinic/data/records",
    }
    other = {**mine, "kms:ResourceAliases": ["alias/qnsp/aws-nitro/broker/main/store/v1"]}
    assert ask("kms:Decrypt", key, **mine)
    assert not ask("kms:Decrypt", key, **other)
    for action in ("ec2:RunInstances", "iam:PassRole", "kms:PutKeyPolicy", "kms:CreateGrant", "sts:AssumeRole"):
        assert not ask(action, "*", **mine)
    for policy in roles.values():
        for statement in policy["Statement"]:
            if statement["Effect"] == "Allow":
                assert not any("*" in action for action in statement["Action"])
                assert "*" not in statement["Resource"]


def test_credentials_of_a_fleet_are_worth_nothing_outside_its_network(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """Stolen from an instance and used elsewhere, every call is denied; so is one that comes through another network."""
    foundation = units["aws-nitro"]["platform/cloud"].inputs["foundation"]
    policy = next(role["policy"] for role in foundation["roles"] if role["name"] == "qnsp-aws-nitro-triage")
    image = "arn:aws:s3:::clinic-artefacts/triage.eif"
    member = {
        "ec2:SourceInstanceARN": "arn:aws:ec2:eu-west-1:012345678901:instance/i-1",
        "aws:Ec2InstanceSourceVpc": "vpc-1",
    }

    def ask(**context: str) -> bool:
        return allowed(Request(f"{ACCOUNT}:role/x", "s3:GetObject", {**member, **context}, image), None, [policy])

    assert ask(**{"aws:SourceVpc": "vpc-1"})
    # Off our endpoints the key that is absent stands on the left of the test: nothing depends on a variable without value.
    (deny,) = (one for one in policy["Statement"] if one["Effect"] == "Deny")
    assert deny["Condition"]["StringNotEquals"] == {"aws:SourceVpc": "${aws:Ec2InstanceSourceVpc}"}
    assert not ask(**{"aws:SourceVpc": "vpc-2"})
    assert not ask()


def test_endpoints_pass_what_fleets_ask_for_and_nothing_beside(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """No bucket of somebody else to carry data out to, no key of another account, no administration."""
    network = units["aws-nitro"]["platform/cloud"].inputs["foundation"]["network"]
    policies = {one["name"]: one["policy"] for one in network["endpoints"]} | {"s3": network["storage"]["policy"]}
    ours = {"aws:PrincipalAccount": "012345678901", "aws:ResourceAccount": "012345678901"}

    def ask(service: str, action: str, resource: str = "*", **context: str) -> bool:
        return allowed(Request(f"{ACCOUNT}:role/x", action, {**ours, **context}, resource), policies[service])

    assert ask("s3", "s3:GetObject", "arn:aws:s3:::clinic-artefacts/triage.eif")
    assert ask("s3", "s3:GetObject", "arn:aws:s3:::al2023-repos-eu-west-1-de612dc2/core/x.rpm")
    assert not ask("s3", "s3:PutObject", "arn:aws:s3:::clinic-artefacts/triage.eif")
    assert not ask("s3", "s3:GetObject", "arn:aws:s3:::somebody-elses/bucket")
    assert not ask(
        "s3", "s3:GetObject", "arn:aws:s3:::clinic-artefacts/triage.eif", **{"aws:PrincipalAccount": "9" * 12}
    )
    assert ask("kms", "kms:Decrypt")
    assert not ask("kms", "kms:Decrypt", **{"aws:ResourceAccount": "9" * 12})
    for service, action in (
        ("kms", "kms:PutKeyPolicy"),
        ("kms", "kms:CreateGrant"),
        ("sts", "sts:GetFederationToken"),
        ("logs", "logs:DeleteLogGroup"),
        ("autoscaling", "autoscaling:UpdateAutoScalingGroup"),
        ("ecr.api", "ecr:PutImage"),
    ):
        assert not ask(service, action), action


def test_names_are_of_the_workspace_and_fit() -> None:
    """Two workspaces in one account share no role and no load balancer; a long name stays one of its own."""
    one, other = (
        Names(w, "cloud", "012345678901", "eu-west-1", "aws") for w in ("prod", "a-workspace-with-a-long-name")
    )
    assert one.role_name("triage") == "qnsp-prod-triage"
    assert one.balancer("broker-main") == "qnsp-prod-broker-main"
    long = {other.balancer(f"endpoint-of-the-clinic-{n}") for n in range(20)}
    assert len(long) == 20
    assert max(map(len, long)) == 32
    assert len(other.role_name("x" * 60)) == 64
    china = Names("prod", "cloud", "012345678901", "cn-north-1", "aws-cn")
    assert (_service_name(china, "sts"), _service_name(china, "kms")) == (
        "cn.com.amazonaws.cn-north-1.sts",
        "com.amazonaws.cn-north-1.kms",
    )


def test_services_take_roles_on_for_this_account_only(units: Mapping[str, Mapping[str, Unit]]) -> None:
    """A service of AWS acts for us, never for somebody who names our role or bucket: source account and source ARN."""
    from pulumi_qnsp.components.aws_foundation import FoundationArgs, foundation

    made = foundation(FoundationArgs.of(units["aws-nitro"]["platform/cloud"].inputs["foundation"]))
    children = {child.name: child for child in made}
    trust = json.loads(children["flow-logs-role"].inputs["assume_role_policy"])["Statement"]
    assert trust[0]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "012345678901"},
        "ArnLike": {"aws:SourceArn": "arn:aws:ec2:eu-west-1:012345678901:vpc-flow-log/*"},
    }
    statements = json.loads(children["trail-records-policy"].inputs["policy"])["Statement"]
    for statement in statements:
        if statement["Effect"] == "Allow":
            assert statement["Condition"]["StringEquals"]["aws:SourceArn"].endswith(":trail/qnsp-aws-nitro-cloud")
    for name in ("evidence-policy", "trail-records-policy"):
        policy = json.loads(children[name].inputs["policy"])
        bucket = policy["Statement"][-1]["Resource"][0]
        any_iam = [{"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}]
        for context, good in (
            ({"aws:SecureTransport": "false", "s3:TlsVersion": "1.3"}, False),
            ({"aws:SecureTransport": "true", "s3:TlsVersion": "1.1"}, False),
        ):
            assert (
                allowed(Request(f"{ACCOUNT}:role/x", "s3:GetObject", context, f"{bucket}/a"), policy, any_iam) is good
            )
    trail = children["trail"].inputs
    assert trail["enable_log_file_validation"]
    assert trail["is_multi_region_trail"]
    selector = trail["event_selectors"][0]
    assert (selector["read_write_type"], selector["include_management_events"]) == ("All", True)
    assert "exclude_management_event_sources" not in selector
    assert "arn:aws:s3:::clinic-artefacts/triage.sealed" in selector["data_resources"][0]["values"]


def test_no_unit_holds_a_secret(units: Mapping[str, Mapping[str, Unit]], roots: Mapping[str, Path]) -> None:
    """Private members of keys appear in no unit."""
    for template, found in units.items():
        private = [
            key[member]
            for path in (roots[template] / ".qnsp/keys").glob("*.json")
            for key in json.loads(path.read_text())["keys"]
            for member in ("d", "priv")
            if member in key
        ]
        assert private
        text = json.dumps([unit.to_json() for unit in found.values()])
        assert not [secret for secret in private if secret in text]


def _replace(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("template", "file", "old", "new", "code", "says"),
    [
        ("aws-nitro", "platform.yaml", "  keyAdmin: arn:aws:iam::012345678901:role/qnsp-key-admin", "  #", "QNSP-PLN-223", "keyAdmin"),
        ("aws-nitro", "platform.yaml", "role/qnsp-key-admin", "role/qnsp-apply", "QNSP-PLN-224", "one role"),
        ("aws-nitro", "platform.yaml", "  enclave: Enclave/broker\n", "", "QNSP-PLN-235", "names no enclave"),
        ("aws-nitro", "platform.yaml", "{members: 1, vcpus: 2", "{members: 2, vcpus: 2", "QNSP-PLN-244", "a store of its own"),
        ("aws-nitro", "platform.yaml", "vcpus: 2, memory: 2Gi}", "vcpus: 2, memory: 2Gi, instanceType: t3.xlarge}", "QNSP-PLN-231", "no Nitro Enclaves"),
        ("aws-nitro", "fleet.yaml", "size: {members: 2, vcpus: 4, memory: 8Gi}", "size: {members: 2, vcpus: 4, memory: 8Gi, instanceType: m6i.large}", "QNSP-PLN-231", "four vCPUs"),
        ("aws-nitro", "fleet.yaml", "  tenants: [Tenant/clinic]\n  image: Artefact/triage-image", '  gpus: {model: H100, count: 1, confidentialMode: "off"}\n  tenants: [Tenant/clinic]\n  image: Artefact/triage-image', "QNSP-PLN-230", "GPU"),
        ("aws-nitro", "fleet.yaml", "  referenceValues: ReferenceValues/triage-1", "  referenceValues: ReferenceValues/triage-1\n  debug: true", "QNSP-PLN-237", "zeros"),
        ("aws-nitro", "fleet.yaml", "metadata: {name: triage}\nspec:\n  platform", "metadata: {name: main}\nspec:\n  platform", "QNSP-PLN-239", "share a role"),
        ("aws-nitro", "artefacts.yaml", "s3://clinic-artefacts/triage.eif", "artefacts/triage.eif", "QNSP-PLN-238", "S3"),
        ("aws-nitro", "keys.yaml", "    - {name: data/records,", "    - {name: api/answers, algorithm: ML-DSA-65, custody: kms, rotation: 30d}\n    - {name: data/records,", "QNSP-PLN-225", "Recipient"),
        ("aws-nitrotpm-gpu", "fleet.yaml", 'confidentialMode: "off"', 'confidentialMode: "on"', "QNSP-PLN-232", "confidential mode"),
        ("aws-nitrotpm-gpu", "fleet.yaml", "model: H100, count: 8", "model: H100, count: 3", "QNSP-PLN-232", "3 x H100"),
        ("aws-nitrotpm-gpu", "fleet.yaml", "size: {members: 1,", "size: {instanceType: m6i.large, members: 1,", "QNSP-PLN-232", "no NVIDIA GPU"),
        ("aws-nitrotpm-gpu", "artefacts.yaml", "ami-0123456789abcdef0", "s3://clinic-artefacts/trainer.raw", "QNSP-PLN-238", "AMI"),
        ("aws-nitrotpm-gpu", "reference-values.yaml", f'        pcr12: "{"0" * 96}"\n', "", "QNSP-PLN-212", "GHSA-xrv8-2pf5-f3q7"),
        ("aws-nitrotpm-gpu", "reference-values.yaml", '"ec93', '"ec93ec93', "QNSP-PLN-213", "96 lower-case"),
        ("aws-nitrotpm-gpu", "fleet.yaml", 'model: H100, count: 8, confidentialMode: "off"', "model: B200, count: 8, confidentialMode: ppcie", "QNSP-PLN-232", "cannot be ppcie"),
        ("aws-nitrotpm-gpu", "fleet.yaml", 'confidentialMode: "off"', "confidentialMode: ppcie", "QNSP-PLN-232", "cannot be ppcie"),
        ("aws-nitrotpm-gpu", "fleet.yaml", 'confidentialMode: "off"', "confidentialMode: devtools", "QNSP-PLN-232", "cannot be devtools"),
        ("aws-nitrotpm-gpu", "fleet.yaml", "size: {members: 1,", "size: {instanceType: g5.48xlarge, members: 1,", "QNSP-PLN-232", "8 x A10G"),
        ("aws-nitrotpm-gpu", "fleet.yaml", "size: {members: 1,", "size: {instanceType: p5.4xlarge, members: 1,", "QNSP-PLN-232", "1 x H100"),
        ("aws-nitrotpm-gpu", "fleet.yaml", "size: {members: 1,", "size: {instanceType: p3.16xlarge, members: 1,", "QNSP-PLN-232", "Nitro System"),
        ("aws-nitro", "fleet.yaml", "vcpus: 4, memory: 8Gi", "vcpus: 3, memory: 8Gi", "QNSP-PLN-231", "whole cores"),
        ("aws-nitro", "fleet.yaml", "vcpus: 4, memory: 8Gi", "vcpus: 4, memory: 8Gi, instanceType: m6i.xlarge", "QNSP-PLN-231", "parent keeps"),
        ("aws-nitro", "fleet.yaml", "vcpus: 4, memory: 8Gi", "vcpus: 4, memory: 8Gi, instanceType: m6i.metal", "QNSP-PLN-231", "bare metal"),
        ("aws-snp", "fleet.yaml", "m6a.xlarge", "m5.xlarge", "QNSP-PLN-233", "m6a, c6a and r6a"),
        ("aws-snp", "fleet.yaml", "m6a.xlarge", "m6a.large", "QNSP-PLN-231", "2 vCPUs and 8 GiB"),
        ("aws-snp", "fleet.yaml", "  tenants: [Tenant/clinic]", '  gpus: {model: H100, count: 1, confidentialMode: "on"}\n  tenants: [Tenant/clinic]', "QNSP-PLN-233", "no GPU"),
        ("aws-snp", "fleet.yaml", "attester: sev-snp", "attester: tdx", "QNSP-PLN-234", "no tdx"),
    ],
    ids=["no-key-admin", "one-role", "broker-outside", "stores-apart", "burstable", "too-small", "enclave-gpu", "debug", "one-name", "eif-outside",
         "endpoint-key-in-kms", "gpu-cc", "gpu-count", "no-gpu-type", "ami", "no-pcr12", "over-long", "blackwell", "ppcie", "devtools", "other-gpu", "fewer-gpus", "no-uefi",
         "half-a-core", "too-small-parent", "metal", "snp-family", "snp-small", "snp-gpu", "tdx"],
)  # fmt: skip
def test_what_aws_cannot_do_is_refused_at_its_line(
    template: str, file: str, old: str, new: str, code: str, says: str, roots: Mapping[str, Path], tmp_path: Path
) -> None:
    """Offline, with reason and what would work; `check` says it too, at the same line."""
    root = tmp_path / template
    shutil.copytree(roots[template], root)
    if code == "QNSP-PLN-239":
        for path in root.glob("*.yaml"):
            path.write_text(path.read_text().replace("Enclave/triage", "Enclave/main"))
    with pytest.raises(OperatorError) as caught:
        planned(root, changes={file: _replace(old, new)})
    refused = caught.value
    assert refused.code == code
    assert says in refused.message
    assert refused.place is not None
    assert refused.place.file.endswith(".yaml")
    assert refused.next_step
    checked = check(root, now=NOW)
    assert checked.blocking
    told = [f for f in checked.report.findings if f.waived_by is None and f.place.file == refused.place.file]
    assert [f for f in told if f.place.line == refused.place.line], [str(f.place) for f in told]


def test_a_register_in_upper_case_is_no_document(roots: Mapping[str, Path], tmp_path: Path) -> None:
    """Refused by `validate` already, at its line."""
    root = tmp_path / "gpu"
    shutil.copytree(roots["aws-nitrotpm-gpu"], root)
    path = root / "reference-values.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace('"ec93', '"EC93'), encoding="utf-8")
    with pytest.raises(DocumentErrors) as caught:
        validate(root)
    (problem,) = caught.value.problems
    assert problem.place is not None
    assert "pcr4" in path.read_text(encoding="utf-8").splitlines()[problem.place.line - 1]


def test_keys_are_never_granted_to_snp_of_ec2(roots: Mapping[str, Path], tmp_path: Path) -> None:
    """Its launch digest covers the provider's firmware; the refusal stands at the grant."""
    root = tmp_path / "snp"
    shutil.copytree(roots["aws-nitro"], root)
    keys = (root / "keys.yaml").read_text(encoding="utf-8")
    (root / "keys.yaml").write_text(
        keys.replace("custody: kms, rotation: 365d}\n  owners", "rotation: 365d}\n  owners")
    )
    other = _replace("attester: nitro-enclave", "attester: sev-snp")
    one = lambda text: text.replace("attester: nitro-enclave", "attester: sev-snp", 1)  # noqa: E731
    with pytest.raises(OperatorError) as caught:
        planned(root, changes={"fleet.yaml": other, "reference-values.yaml": one})
    assert caught.value.code == "QNSP-PLN-236"
    assert "firmware only" in caught.value.message
    assert str(caught.value.place).startswith("fleet.yaml:")
