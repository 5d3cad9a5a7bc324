"""What anybody must verify of a plan before acting on it: the approver's tool, apply, and every broker for itself.

A plan file is a DSSE envelope (payload type `application/vnd.qnsp.plan+json`) with one more member, `approvals`: DSSE
envelopes whose payload names the plan's digest and repeats the rendered trust diff (docs/formats/plan.md, approvals.md).

The steps, in this order, each with its own code:

    1. the file is a plan of a version that we read
    2. the author's signatures: an identity of the judging TrustRoot with the role author, all keys of a signer in date
    3. the plan is for this workspace, was judged by this TrustRoot, and lives
    4. what it says of itself follows from its units (`consistency`)
    5. each approval: another identity, all keys of a signer in date, this digest, this text
    6. every need is met

Not checked here, and owed by the caller: that the base is what is applied now (`check_fresh` in `pipeline/plan` against
recorded state; a broker compares `Authorisation.base` with the policies it holds), findings, and the genesis pin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from qnsp_policy.errors import PeerError, PlanRefused
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.canonical import jcs, parse_object, sha256_digest
from qnsp_policy.pipeline.trust.approvals import PROPOSED, Need, unmet
from qnsp_policy.pipeline.trust.codec import time_from_text, time_to_text
from qnsp_policy.pipeline.trust.consistency import CheckedPlan, check_payload
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.trust_root import SignerValue, TrustRootValue

APPROVAL_TYPE = "application/vnd.qnsp.approval+json"
APPROVAL_FORMAT = "qnsp.approval/v1"
FORMAT_MAJOR = "1"
MAX_BYTES = 64 * 1024 * 1024
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan file as read; nothing in it is verified but its shape.

    Attributes:
        envelope: the plan with its author's signatures.
        approvals: envelopes of approvals, in the order of the file.
        payload: the parsed payload of the plan.
    """

    envelope: dsse.Envelope
    approvals: tuple[dsse.Envelope, ...]
    payload: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the payload bytes: what approvals sign and apply records."""
        return sha256_digest(self.envelope.payload)

    def to_bytes(self) -> bytes:
        """The file: RFC 8785 JSON."""
        file = parse_object(self.envelope.to_json(), max_bytes=MAX_BYTES)
        file["approvals"] = [parse_object(approval.to_json(), max_bytes=MAX_BYTES) for approval in self.approvals]
        return jcs(file) + b"\n"


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A verified plan: who wrote it, who approved it, and what it lets each broker take.

    Attributes:
        plan_digest: `sha256:...` of the payload.
        workspace_id: of the workspace it is for.
        author: identity name.
        approvers: identity names, sorted.
        expires: the last moment is just before it.
        objects: by broker address, `<kind>/<name>` to digest.
        between: the same, while a rollout of this plan is on its way.
        base: release policies that the plan says are applied, by (broker, resource).
        trust_root_next: the TrustRoot after this plan when it changes, else None.
        needs: what was needed and is met.
        payload: the whole verified payload.
    """

    plan_digest: str
    workspace_id: str
    author: str
    approvers: tuple[str, ...]
    expires: datetime
    objects: Mapping[str, Mapping[str, str]]
    between: Mapping[str, Mapping[str, str]]
    base: Mapping[tuple[str, str], ReleasePolicy]
    trust_root_next: TrustRootValue | None
    needs: tuple[Need, ...]
    payload: Mapping[str, Any]


def read_plan_file(data: bytes) -> PlanFile:
    """Read a plan file.

    Raises:
        PlanRefused: QNSP-PLN-002 not a plan file, QNSP-PLN-003 a format that this version does not read.
    """
    try:
        file = parse_object(data, max_bytes=MAX_BYTES)
        envelope = dsse.parse(data)
        approvals = tuple(dsse.parse(jcs(entry)) for entry in file.get("approvals", []))
        if envelope.payload_type != dsse.PLAN_TYPE:
            raise PlanRefused("QNSP-PLN-002", f"not a plan file: it holds {envelope.payload_type[:80]!r}")
        payload = parse_object(envelope.payload, max_bytes=MAX_BYTES)
    except (PeerError, TypeError) as error:
        raise PlanRefused("QNSP-PLN-002", f"not a plan file: {error}") from error
    version = payload.get("formatVersion")
    if not isinstance(version, str) or version.split(".")[0] != FORMAT_MAJOR:
        raise PlanRefused(
            "QNSP-PLN-003",
            "the plan is of a format that this version does not read",
            expected=f"formatVersion {FORMAT_MAJOR}.x",
            got=str(version)[:40],
            next_step="plan again with this version, or apply it with the version that made it",
        )
    return PlanFile(envelope, approvals, payload)


def verify_authorisation(
    envelope: bytes, *, pinned_trust_root: TrustRootValue, workspace_id: str, now: datetime
) -> Authorisation:
    """Verify a plan with its approvals; see the steps in the docstring of this module.

    Args:
        envelope: the plan file.
        pinned_trust_root: the TrustRoot in force, from wherever the caller keeps it safe; never from the plan.
        workspace_id: of the genesis record.
        now: the present moment, aware.

    Raises:
        PlanRefused: with a code of its own for each cause.
    """
    # 1. A plan of a version that we read.
    file = read_plan_file(envelope)
    # 2. to 4.
    checked = verify_author(file, judge=pinned_trust_root, workspace_id=workspace_id, now=now)
    # 5. Each approval.
    in_force, proposed = verify_approvals(file, checked, judge=pinned_trust_root, now=now)
    # 6. Every need.
    missing = unmet(checked.needs, in_force=in_force, proposed=proposed)
    if missing:
        raise PlanRefused(
            "QNSP-PLN-015",
            "approvals are missing: " + "; ".join(describe_missing(need, count) for need, count in missing),
            subject=file.digest,
            next_step="qnsp-policy approve FILE, by one of the identities named",
        )
    return Authorisation(
        plan_digest=file.digest,
        workspace_id=workspace_id,
        author=str(file.payload["author"]),
        approvers=tuple(sorted({*in_force, *proposed})),
        expires=time_from_text(file.payload["expiresAt"]),
        objects=checked.objects,
        between=checked.between,
        base=checked.base,
        trust_root_next=None if checked.proposed.digest == pinned_trust_root.digest else checked.proposed,
        needs=checked.needs,
        payload=file.payload,
    )


def describe_missing(need: Need, count: int) -> str:
    """One need that is not met, in words; says so when nobody could ever meet it."""
    root = " (with keys of the proposed TrustRoot)" if need.root == PROPOSED else ""
    who = " or ".join(need.who) if need.possible else f"only {', '.join(need.who) or 'nobody'} may, which is not enough"
    return f"{count} for {need.reason}{root}: {who}"


def verify_author(file: PlanFile, *, judge: TrustRootValue, workspace_id: str, now: datetime) -> CheckedPlan:
    """Steps 2 to 4: what an approver must know before approving.

    Raises:
        PlanRefused: QNSP-PLN-004 to -012, -018, -019.
    """
    # 2. The author's signatures.
    author = file.payload.get("author")
    found = _signers(file.envelope, dsse.PLAN_TYPE, judge, now, altered="QNSP-PLN-004", unknown="QNSP-PLN-005")
    identity = judge.identities.get(author) if isinstance(author, str) else None
    if identity is None or author not in found:
        raise PlanRefused(
            "QNSP-PLN-005",
            "the plan is not signed by the author it names",
            expected=f"signatures of {author!s:.80}",
            got=", ".join(sorted(found)),
        )
    if "author" not in identity.roles:
        raise PlanRefused(
            "QNSP-PLN-006",
            f"{identity.name} does not hold the role author in the TrustRoot in force",
            subject=identity.name,
        )
    # 3. For this workspace, judged by this TrustRoot, alive.
    _check_header(file.payload, judge=judge, workspace_id=workspace_id, now=now)
    # 4. True to itself.
    return check_payload(file.payload, judge)


def _check_header(payload: Mapping[str, Any], *, judge: TrustRootValue, workspace_id: str, now: datetime) -> None:
    try:
        workspace, base = payload["workspace"]["id"], payload["base"]["trustRootDigest"]
        created, expires = time_from_text(payload["createdAt"]), time_from_text(payload["expiresAt"])
    except (KeyError, TypeError, ValueError) as error:
        raise PlanRefused("QNSP-PLN-018", f"the plan lacks a member that every plan has: {error}") from error
    if workspace != workspace_id:
        raise PlanRefused(
            "QNSP-PLN-009", "the plan is for another workspace", expected=workspace_id, got=str(workspace)[:80]
        )
    if base != judge.digest:
        raise PlanRefused(
            "QNSP-PLN-012",
            "the plan was judged by another TrustRoot than the one in force",
            expected=judge.digest,
            got=str(base)[:80],
            next_step="plan again",
        )
    if now >= expires:
        raise PlanRefused(
            "QNSP-PLN-010",
            f"the plan expired at {time_to_text(expires)}",
            expected=f"before {time_to_text(expires)}",
            got=time_to_text(now),
            next_step="plan again",
        )
    if created > now + CLOCK_SKEW or expires - created > timedelta(seconds=judge.plan_lifetime_seconds):
        raise PlanRefused(
            "QNSP-PLN-011",
            "the plan was made in the future, or lives longer than the Project in force allows",
            expected=f"at most {judge.plan_lifetime_seconds} s from a moment that has passed",
            got=f"{time_to_text(created)} to {time_to_text(expires)}",
        )


def verify_approvals(
    file: PlanFile, checked: CheckedPlan, *, judge: TrustRootValue, now: datetime
) -> tuple[Mapping[str, frozenset[str]], Mapping[str, frozenset[str]]]:
    """Step 5: who approved, by identity, with the kinds of signers used; by the judge's keys and by the proposed ones.

    Raises:
        PlanRefused: QNSP-PLN-016 by the author, -017 of something else, -024 altered, -025 unknown signer; also -007, -008.
    """
    given: dict[str, dict[str, frozenset[str]]] = {judge.digest: {}, checked.proposed.digest: {}}
    roots = [judge] if judge.digest == checked.proposed.digest else [judge, checked.proposed]
    for approval in file.approvals:
        verified_by_any = False
        failure: PlanRefused | None = None
        for root in roots:
            try:
                names = _signers(approval, APPROVAL_TYPE, root, now, altered="QNSP-PLN-024", unknown="QNSP-PLN-025")
            except PlanRefused as refused:
                failure = failure or refused
                continue
            verified_by_any = True
            approver = _check_approval(file, approval, names)
            before = given[root.digest].get(approver, frozenset())
            given[root.digest][approver] = before | names[approver]
        if not verified_by_any and failure is not None:
            raise failure
    return given[judge.digest], given[checked.proposed.digest]


def _check_approval(file: PlanFile, approval: dsse.Envelope, names: Mapping[str, frozenset[str]]) -> str:
    try:
        payload = parse_object(approval.payload)
    except PeerError as error:
        raise PlanRefused("QNSP-PLN-017", f"an approval cannot be read: {error}") from error
    approver = payload.get("approver")
    if not isinstance(approver, str) or approver not in names:
        raise PlanRefused(
            "QNSP-PLN-025",
            "an approval is not signed by the approver it names",
            expected=f"signatures of {approver!s:.80}",
            got=", ".join(sorted(names)),
        )
    if approver == file.payload["author"]:
        raise PlanRefused(
            "QNSP-PLN-016", f"{approver} wrote the plan and cannot approve it", next_step="ask another approver"
        )
    expected = {
        "format": APPROVAL_FORMAT,
        "plan": file.digest,
        "workspaceId": file.payload["workspace"]["id"],
        "trustDiff": file.payload["trust"]["rendered"],
    }
    for member, wanted in expected.items():
        if payload.get(member) != wanted:
            raise PlanRefused(
                "QNSP-PLN-017",
                f"the approval by {approver} is of another plan: its {member} differs",
                expected=wanted[:80],
                got=str(payload.get(member))[:80],
                next_step="approve the plan as it is now",
            )
    return approver


def _signers(
    envelope: dsse.Envelope, payload_type: str, root: TrustRootValue, now: datetime, *, altered: str, unknown: str
) -> Mapping[str, frozenset[str]]:
    """Identities of `root` for whom every key of a signer that is in date has signed, with the kinds of those signers.

    Raises:
        PlanRefused: `altered` when a known key's signature fails, `unknown` when no known key signed, QNSP-PLN-007
            when the signer has expired, QNSP-PLN-008 when only some keys of it signed.
    """
    signers = [(identity.name, signer) for identity in root.identities.values() for signer in identity.signers]
    known = [key for _, signer in signers for key in signer.public_keys]
    try:
        verified = dsse.verified_keys(envelope, known, payload_type=payload_type)
    except PeerError as error:
        raise PlanRefused(
            altered,
            f"a signature does not fit what was signed: it was altered after signing ({error.code})",
            subject=error.subject,
            next_step="do not use this file; ask its sender for the original",
        ) from error
    good = {key.key_id for key in verified.keys}
    if not good:
        raise PlanRefused(
            unknown,
            "no signature is by a key of the TrustRoot in force",
            got=", ".join(sorted({entry.key_id for entry in envelope.signatures}))[:200],
        )
    found: dict[str, frozenset[str]] = {}
    partly: list[PlanRefused] = []
    for name, signer in signers:
        ids = {key.key_id for key in signer.public_keys}
        if not ids & good:
            continue
        problem = _signer_problem(name, signer, ids, good, now)
        if problem is None:
            found[name] = found.get(name, frozenset()) | {signer.type}
        else:
            partly.append(problem)
    if not found:
        raise partly[0]
    return found


def _signer_problem(name: str, signer: SignerValue, ids: set[str], good: set[str], now: datetime) -> PlanRefused | None:
    if now > signer.expires:
        return PlanRefused(
            "QNSP-PLN-007",
            f"the {signer.type} signer of {name} expired at {time_to_text(signer.expires)}",
            subject=name,
            next_step="sign with a signer that is in date",
        )
    if not ids <= good:
        return PlanRefused(
            "QNSP-PLN-008",
            f"not every key of the {signer.type} signer of {name} has signed; ML-DSA and Ed25519 must both",
            subject=name,
            expected=f"{len(ids)} signatures",
            got=f"{len(ids & good)}",
        )
    return None


__all__ = [
    "APPROVAL_FORMAT",
    "APPROVAL_TYPE",
    "Authorisation",
    "PlanFile",
    "describe_missing",
    "read_plan_file",
    "verify_approvals",
    "verify_author",
    "verify_authorisation",
]
