"""The KBS surface as existing clients see it: handshake, bodies, cookies, statuses; and what it refuses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from qnsp_policy.kernel.wire.coco_snp import evidence_to_json
from qnsp_policy.kernel.wire.kbs import fit, runtime_digest
from qnsp_policy.services.guest.rcar import BrokerSession
from qnsp_policy.services.guest.tee_key import EphemeralTeeKey
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.services import Admin, BrokerWorld, SimulatedMember

RESOURCE = "clinic/model/minilm"
DATA_KEY = bytes(range(32))
ERRORS = "https://github.com/confidential-containers/kbs/errors/"


class Handshake:
    """A client written from the protocol text: every message can be bent before it is sent."""

    def __init__(self, http: httpx.Client, member: SimulatedMember, key: str = "ECDH-P256") -> None:
        self.http, self.member, self.key = http, member, EphemeralTeeKey(key)
        self.nonce, self.cookie = "", ""

    def auth(self, **changes: Any) -> httpx.Response:
        body = {"version": "0.4.0", "tee": "snp", "extra-params": {"supported-hash-algorithms": ["sha384"]}, **changes}
        answer = self.http.post("/kbs/v0/auth", json=body)
        if answer.status_code == 200:
            self.nonce = answer.json()["nonce"]
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    def message(self, *, nonce: str | None = None, bound_key: Mapping[str, str] | None = None) -> dict[str, Any]:
        nonce = nonce or self.nonce
        report = self.member.report(fit(runtime_digest(nonce, bound_key or self.key.jwk, "", "sha384"), 64))
        return {
            "init-data": None,
            "runtime-data": {"nonce": nonce, "tee-pubkey": dict(self.key.jwk)},
            "tee-evidence": {
                "primary_evidence": evidence_to_json(report.data, report.certificates),
                "additional_evidence": "",
            },
        }

    def attest(self, message: Any = None, *, cookie: str | None = None) -> httpx.Response:
        body = json.dumps(self.message() if message is None else message)
        return self.http.post("/kbs/v0/attest", content=body, headers={"cookie": cookie or self.cookie})

    def get(self, path: str = RESOURCE, **headers: str) -> httpx.Response:
        self.http.cookies.clear()
        given = {"cookie": self.cookie, **headers}
        return self.http.get(f"/kbs/v0/resource/{path}", headers={k: v for k, v in given.items() if v})


@pytest.fixture
def handshake(http: httpx.Client, member: SimulatedMember) -> Handshake:
    return Handshake(http, member)


def problem(answer: httpx.Response) -> str:
    """The variant of an error body, after checking that clients can read it."""
    body = answer.json()
    assert isinstance(body["detail"], str)
    assert body["type"].startswith(ERRORS)
    return str(body["type"].removeprefix(ERRORS))


def test_the_challenge_is_as_clients_expect(handshake: Handshake) -> None:
    """32 random bytes in padded standard base64, extra-params present, a cookie of 32 hex digits for all of /kbs."""
    answer = handshake.auth()
    assert len(base64.b64decode(answer.json()["nonce"], validate=True)) == 32
    assert answer.json()["extra-params"] == ""
    name, value = handshake.cookie.split("=")
    assert name == "kbs-session-id"
    assert len(bytes.fromhex(value)) == 16
    assert "Path=/" in answer.headers["set-cookie"]
    assert "HttpOnly" in answer.headers["set-cookie"]


def test_a_new_auth_gives_a_new_session_whatever_cookie_came_along(handshake: Handshake) -> None:
    """Clients send the old cookie with a new handshake."""
    handshake.auth()
    first = (handshake.nonce, handshake.cookie)
    answer = handshake.http.post(
        "/kbs/v0/auth", json={"version": "0.4.0", "tee": "snp", "extra-params": ""}, headers={"cookie": first[1]}
    )
    assert answer.json()["nonce"] != first[0]
    assert answer.headers["set-cookie"].partition(";")[0] != first[1]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": "0.1.1"}, "QNSP-KBS-102"),
        ({"tee": "sev"}, "QNSP-KBS-102"),
        ({"version": None}, "QNSP-KBS-101"),
        ({"extra-params": {"supported-hash-algorithms": ["sm3"]}}, "QNSP-KBS-113"),
    ],
    ids=["old-version", "unknown-tee", "no-version", "no-common-hash"],
)
def test_a_bad_auth_is_401_with_a_body(handshake: Handshake, change: dict[str, Any], code: str) -> None:
    """`auth` and `attest` know 200 and 401 only."""
    answer = handshake.auth(**change)
    assert (answer.status_code, problem(answer)) == (401, "AttestationError")
    assert answer.json()["reason"] == code


def test_the_first_resource_request_without_attestation_is_401(handshake: Handshake) -> None:
    """An existing client asks first and begins its handshake at 401; a 403 would end it."""
    answer = handshake.http.get(f"/kbs/v0/resource/{RESOURCE}")
    assert (answer.status_code, problem(answer)) == (401, "TokenNotFound")
    handshake.auth()
    answer = handshake.get()
    assert (answer.status_code, problem(answer)) == (401, "TokenNotFound")


def test_a_token_of_the_handshake_works_without_the_cookie(
    clinic: str, handshake: Handshake, member: SimulatedMember
) -> None:
    """Passport mode: the bearer token alone is enough, and only the one that this broker signed."""
    handshake.key = EphemeralTeeKey("ML-KEM-768")
    handshake.auth()
    token = handshake.attest().json()["token"]
    handshake.cookie = ""
    answer = handshake.get(authorization=f"Bearer {token}")
    assert answer.status_code == 200
    assert handshake.key.unwrap(answer.content) == DATA_KEY
    header, claims, _ = token.split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["alg"] == "ES256"
    forged = f"{header}.{claims}.{'A' * 86}"
    answer = handshake.get(authorization=f"Bearer {forged}")
    assert (answer.status_code, problem(answer)) == (401, "TokenVerifierError")


def test_an_expired_token_is_refused(clinic: str, handshake: Handshake, world: BrokerWorld) -> None:
    """A token lives five minutes."""
    handshake.auth()
    token = handshake.attest().json()["token"]
    world.clock.forward(minutes=6)
    handshake.cookie = ""
    assert problem(handshake.get(authorization=f"Bearer {token}")) == "TokenVerifierError"


def test_the_release_is_the_jwe_that_existing_clients_rebuild(
    admin: Admin, world: BrokerWorld, handshake: Handshake
) -> None:
    """Protected header in the exact order that peers authenticate: alg, enc, then the rest; five members, no padding."""
    from qnsp_policy.testing.services import release_policy, tenant_object

    policy = release_policy(RESOURCE, handshake.member.alternative())
    policy["grants"][0]["guardrails"][1]["values"].append("ECDH-ES")
    policy["grants"][0]["guardrails"][1]["values"].sort()
    admin.apply(
        {
            "tenant/clinic": tenant_object("clinic"),
            f"resource/{RESOURCE}": world.sealed_key(RESOURCE, DATA_KEY),
            f"release-policy/{RESOURCE}": policy,
        }
    )
    handshake.auth()
    assert handshake.attest().status_code == 200
    answer = handshake.get()
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"protected", "encrypted_key", "iv", "ciphertext", "tag"}
    protected = base64.urlsafe_b64decode(body["protected"] + "=" * (-len(body["protected"]) % 4)).decode()
    assert protected.startswith('{"alg":"ECDH-ES+A256KW","enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":"')
    assert handshake.key.unwrap(answer.content) == DATA_KEY


def refused(answer: httpx.Response, code: str) -> None:
    assert (answer.status_code, problem(answer)) == (401, "AttestationError")
    assert answer.json()["reason"] == code


def test_evidence_for_another_key_is_refused(handshake: Handshake) -> None:
    """Somebody relays good evidence but wants the key wrapped to himself."""
    handshake.auth()
    refused(handshake.attest(handshake.message(bound_key=EphemeralTeeKey("ECDH-P256").jwk)), "QNSP-KBS-111")


def test_a_replayed_nonce_is_refused(handshake: Handshake) -> None:
    """Evidence of an earlier session does not fit a new one, under the old nonce or the new."""
    handshake.auth()
    old = handshake.message()
    handshake.auth()
    refused(handshake.attest(old), "QNSP-KBS-114")
    handshake.auth()
    relabelled = {**old, "runtime-data": {**old["runtime-data"], "nonce": handshake.nonce}}
    refused(handshake.attest(relabelled), "QNSP-KBS-111")


def test_a_second_attest_is_refused(handshake: Handshake) -> None:
    """An attested session does not hand out its old token to unverified evidence."""
    handshake.auth()
    message = handshake.message()
    assert handshake.attest(message).status_code == 200
    refused(handshake.attest(message), "QNSP-KBS-116")


def test_a_failed_attest_spends_the_nonce(handshake: Handshake) -> None:
    """One nonce, one try."""
    handshake.auth()
    good = handshake.message()
    assert handshake.attest({"runtime-data": {}}).status_code == 401
    refused(handshake.attest(good), "QNSP-KBS-116")


def test_an_attest_without_a_session_or_after_its_end_is_refused(handshake: Handshake, world: BrokerWorld) -> None:
    """No cookie, a made-up one, or one that came too late."""
    handshake.auth()
    message = handshake.message()
    refused(handshake.attest(message, cookie="kbs-session-id=" + "0" * 32), "QNSP-KBS-115")
    world.clock.forward(minutes=6)
    refused(handshake.attest(message), "QNSP-KBS-115")


def _stray_member(message: dict[str, Any]) -> None:
    """A stray JWK member is dropped before hashing, as existing brokers do: nothing to refuse."""
    message["runtime-data"]["tee-pubkey"]["kid"] = "x"


def test_a_stray_jwk_member_does_not_change_the_digest(handshake: Handshake) -> None:
    """The key is typed: what does not belong to it is not hashed."""
    handshake.auth()
    message = handshake.message()
    _stray_member(message)
    assert handshake.attest(message).status_code == 200


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (lambda m: m["tee-evidence"]["primary_evidence"]["attestation_report"]["measurement"].__setitem__(0, 1), "QNSP-ATT-SNP"),
        (lambda m: m["tee-evidence"]["primary_evidence"]["attestation_report"].pop("policy"), "QNSP-ATT-SNP-101"),
        (lambda m: m["tee-evidence"]["primary_evidence"].update(cert_chain=[]), "QNSP-ATT-SNP"),
        (lambda m: m["tee-evidence"].update(additional_evidence='{"nvidia": {}}'), "QNSP-ATT-CMP-009"),
        (lambda m: m["runtime-data"]["tee-pubkey"].update(x="AA"), "QNSP-KBS-201"),
        (lambda m: m["runtime-data"]["tee-pubkey"].update(alg="RSA1_5"), "QNSP-KBS-201"),
        (lambda m: m["runtime-data"]["tee-pubkey"].pop("alg"), "QNSP-KBS-101"),
        (lambda m: m.update({"init-data": {"format": "toml", "body": 'algorithm = "sha256"\n'}}), "QNSP-KBS-112"),
        (lambda m: m.update({"init-data": {"format": "json", "body": "{}"}}), "QNSP-KBS-112"),
        (lambda m: m.pop("tee-evidence"), "QNSP-KBS-101"),
    ],
    ids=[
        "measurement-changed", "report-member-missing", "no-chain", "unbound-device", "point-off-curve",
        "rsa1_5", "no-alg", "other-initdata", "initdata-json", "no-evidence",
    ],
)  # fmt: skip
def test_one_thing_wrong_in_attest_is_refused(
    handshake: Handshake, bend: Callable[[dict[str, Any]], Any], code: str
) -> None:
    """One good message, one mutation, the code of exactly that step."""
    handshake.auth()
    message = handshake.message()
    bend(message)
    answer = handshake.attest(message)
    assert (answer.status_code, problem(answer)) == (401, "AttestationError")
    assert answer.json()["reason"].startswith(code)


def test_initdata_that_the_hardware_carries_passes(http: httpx.Client, member: SimulatedMember) -> None:
    """The same check, the good case."""
    import hashlib
    from dataclasses import replace

    body = 'version = "0.1.0"\nalgorithm = "sha256"\n'
    carrying = replace(member, host_data=hashlib.sha256(body.encode()).digest())
    BrokerSession(http, get_report=carrying.report, new_key=EphemeralTeeKey, initdata=body.encode()).attest()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"version": ' + b"[" * 5000], ids=repr)
def test_malformed_json_is_401_with_a_body(http: httpx.Client, body: bytes) -> None:
    """A parser's trouble is a refusal, never a traceback."""
    for path in ("auth", "attest"):
        answer = http.post(f"/kbs/v0/{path}", content=body)
        assert (answer.status_code, problem(answer)) == (401, "AttestationError")


def test_a_body_over_two_mebibytes_is_refused_before_it_is_read(http: httpx.Client) -> None:
    """Whether its length was announced or not."""
    too_long = b" " * (2 * 1024 * 1024 + 1)
    assert http.post("/kbs/v0/auth", content=too_long).status_code == 413
    assert problem(http.post("/kbs/v0/auth", content=iter([too_long]))) == "PayloadTooLarge"


@pytest.mark.parametrize(
    "path", ["clinic/model", "clinic/model/a/b", "clinic/../minilm", "clinic/model/.hidden", "clinic//x"]
)
def test_a_path_that_is_none_is_400(clinic: str, handshake: Handshake, path: str) -> None:
    """Exactly three segments of the protocol's alphabet."""
    handshake.auth()
    handshake.attest()
    answer = handshake.http.get(
        f"/kbs/v0/resource/{path.replace('..', '%2e%2e')}", headers={"cookie": handshake.cookie}
    )
    assert (answer.status_code, problem(answer)) == (400, "InvalidRequestPath")


def test_what_is_not_served_has_a_body_too(http: httpx.Client) -> None:
    """Unknown plugins and methods."""
    answer = http.get("/kbs/v0/nebula-ca/x/y")
    assert (answer.status_code, problem(answer)) == (404, "PluginNotFound")


def test_compat_mode_answers_as_existing_brokers_do(world: BrokerWorld, clinic: str, stranger: SimulatedMember) -> None:
    """401 and no reason for a denial; the ledger still has it."""
    handshake = Handshake(sync_client(world.start(mode="compat").asgi()), stranger, "ML-KEM-768")
    assert "HttpOnly" not in handshake.auth().headers["set-cookie"]
    handshake.attest()
    answer = handshake.get()
    assert (answer.status_code, problem(answer)) == (401, "PolicyDeny")
    assert set(answer.json()) == {"type", "detail"}


class SampleHandshake(Handshake):
    """The sample attester of CoCo's reference client: unsigned, the bare 48-byte digest."""

    report_data: bytes | None = None

    def message(self, *, nonce: str | None = None, bound_key: Mapping[str, str] | None = None) -> dict[str, Any]:
        digest = runtime_digest(nonce or self.nonce, bound_key or self.key.jwk, "", "sha384")
        bound = digest if self.report_data is None else self.report_data
        return {
            "init-data": None,
            "runtime-data": {"nonce": nonce or self.nonce, "tee-pubkey": dict(self.key.jwk)},
            "tee-evidence": {
                "primary_evidence": {"svn": "1", "report_data": base64.b64encode(bound).decode()},
                "additional_evidence": "",
            },
        }


SAMPLE_ANCHOR = [{"vendor": "coco-sample-insecure", "certificate": ""}]


def test_the_sample_attester_is_refused_unless_it_is_declared(handshake: Handshake, member: SimulatedMember) -> None:
    """Nobody gets in with evidence that anybody can write."""
    sample = SampleHandshake(handshake.http, member)
    sample.auth(tee="sample")
    answer = sample.attest()
    assert (answer.status_code, answer.json()["reason"][:12]) == (401, "QNSP-ATT-SMP")


def test_a_declared_sample_attester_passes_the_whole_protocol(world: BrokerWorld, member: SimulatedMember) -> None:
    """Conformance with existing clients, by an anchor that is insecure by name; a policy for samples may be held then."""
    from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
    from qnsp_policy.testing.services import release_policy, tenant_object

    http = sync_client(world.start(anchors=SAMPLE_ANCHOR).asgi())
    anybody = Alternative("sample", EvidenceKind.COCO_SAMPLE, {"class": "cpu"}, {"svn": 1})
    policy = release_policy(RESOURCE, anybody)
    policy["grants"][0]["guardrails"][1]["values"] = ["ECDH-ES"]
    Admin(world, http).apply(
        {
            "tenant/clinic": tenant_object("clinic"),
            f"resource/{RESOURCE}": world.sealed_key(RESOURCE, DATA_KEY),
            f"release-policy/{RESOURCE}": policy,
        }
    )
    sample = SampleHandshake(http, member)
    sample.auth(tee="sample")
    assert sample.attest().status_code == 200
    answer = sample.get()
    assert answer.status_code == 200
    assert sample.key.unwrap(answer.content) == DATA_KEY


@pytest.mark.parametrize("length", [0, 1, 32, 47])
def test_a_shorter_binding_binds_nothing(world: BrokerWorld, member: SimulatedMember, length: int) -> None:
    """The kind says how long report data is, not the evidence."""
    sample = SampleHandshake(sync_client(world.start(anchors=SAMPLE_ANCHOR).asgi()), member)
    sample.auth(tee="sample")
    sample.report_data = runtime_digest(sample.nonce, sample.key.jwk, "", "sha384")[:length]
    refused(sample.attest(), "QNSP-KBS-111")
