"""`attest verify`: one piece of evidence, or a list of many, judged offline with what the caller gives along.

One piece is judged as a line of a batch is, so both give the same verdict; here stands only how a command line becomes such a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.batch import MAX_LINE, Batch, answer_of
from qnsp_policy.kernel.attestation.batch_edge import DiskFiles, judge_file
from qnsp_policy.kernel.attestation.batch_request import POLICY_MEMBERS, read_object
from qnsp_policy.kernel.attestation.ear import ear_claims, sign_ear
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.registry import pinned_anchors
from qnsp_policy.kernel.attestation.second_opinion import hold_against, statement
from qnsp_policy.kernel.attestation.values import Anchor, AssuranceClass, AttestationResult
from qnsp_policy.kernel.crypto.canonical import jcs, sha256_digest
from qnsp_policy.kernel.crypto.keyfile_edge import read_key_file
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.files_edge import read_plain

EAR_ALGORITHMS = ("ML-DSA-87", "ML-DSA-65", "ML-DSA-44", "ECDSA-P256")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command line asks of one piece of evidence.

    Attributes:
        evidence: the file; `kind` is told from its bytes where it is "auto".
        endorsements: files by name; collateral: files and folders; anchors: roots instead of the pinned ones.
        policy: JSON of the batch format, or a ReferenceValues document; None demands nothing of the claims.
        nonce, report_data: hex, at most one of both.
        devices: further lines of the batch format for devices.
        allow_simulated: whether simulated evidence may be accepted, under the workspace's own anchors too.
        ear: key file that signs the result as an EAR.
        second: another verifier that judges the same evidence (`attest_opinion.VERIFIERS`), "" for none.
    """

    evidence: Path
    kind: str = "auto"
    endorsements: tuple[tuple[str, Path], ...] = ()
    collateral: tuple[Path, ...] = ()
    anchors: tuple[Path, ...] = ()
    policy: Path | None = None
    nonce: str | None = None
    report_data: str | None = None
    require_checked: tuple[str, ...] = ()
    allow_simulated: bool = False
    ear: Path | None = None
    second: str = ""


def verify_evidence(root: Path, asked: Asked, *, now: datetime) -> dict[str, Any]:
    """The answer of docs/formats/attest-batch.md for one piece of evidence, with `ear` where a key was given.

    Raises:
        OperatorError: a file cannot be read, the policy is not one, or the key file holds no key for an EAR.
    """
    for path in (asked.evidence, *asked.anchors, *(path for _, path in asked.endorsements)):
        path.stat()
    key = _ear_key(asked.ear) if asked.ear else None
    policy = _policy(asked.policy) if asked.policy else {}
    request = {**policy, **_line(asked)}
    words = {one.value for one in AssuranceClass}
    allowed = words & set(request["assurance"]) if "assurance" in request else words
    if not asked.allow_simulated:
        allowed.discard(AssuranceClass.SIMULATED.value)
    request["assurance"] = sorted(allowed)
    anchors = (*pinned_anchors(), *(_declared(root) if asked.allow_simulated else ()))
    batch = Batch(DiskFiles(Path.cwd()), now, anchors)
    result: AttestationResult | None = None
    try:
        result = batch.result(request)
        answer = answer_of(result)
    except EvidenceError:
        answer = batch.answer(request)
    if asked.second:
        answer = _with_opinion(batch, request, asked, answer)
    if key is None or result is None:
        return answer
    if "secondOpinions" in answer:
        said = statement(answer["secondOpinions"])
        accepted = answer["verdict"] == "accepted"
        result = replace(result, accepted=accepted, statements=(*result.statements, said))
    nonce = bytes.fromhex(asked.nonce or asked.report_data or "")
    claims = ear_claims(result, policy_id=sha256_digest(jcs(policy)), build=_build(), nonce=nonce)
    return answer | {"ear": sign_ear(claims, key)}


def _with_opinion(batch: Batch, request: Mapping[str, Any], asked: Asked, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer held against another verifier's; a request that cannot be read has no evidence to judge."""
    from qnsp_policy.workflows.attest_opinion import second_opinions

    try:
        material = batch.material(request)
    except EvidenceError:
        return dict(answer)
    nonce = asked.nonce or asked.report_data
    return hold_against(answer, second_opinions(asked.second, material, nonce=nonce))


def verify_list(root: Path, listing: Path, *, allow_simulated: bool, now: datetime) -> Iterator[str]:
    """One JSON text for each line of a list, in order.

    Raises:
        OperatorError: QNSP-OPS-093, the list is no regular file.
    """
    if listing.exists() and not (listing.is_file() or listing.is_dir()):
        raise OperatorError("QNSP-OPS-093", f"{listing} is not a regular file", subject=str(listing))
    extra = _declared(root) if allow_simulated else ()
    yield from judge_file(listing, now, anchors=extra)


def _line(asked: Asked) -> dict[str, Any]:
    line: dict[str, Any] = {"evidence": str(asked.evidence), "kind": asked.kind}
    if asked.endorsements:
        line["endorsements"] = {name: str(path) for name, path in asked.endorsements}
    if asked.collateral:
        line["collateral"] = [str(path) for path in asked.collateral]
    if asked.anchors:
        line["anchors"] = [str(path) for path in asked.anchors]
    if asked.nonce is not None:
        line["nonce"] = asked.nonce
    if asked.report_data is not None:
        line["expectedReportData"] = asked.report_data
    if asked.require_checked:
        line["requireChecked"] = list(asked.require_checked)
    return line


def _declared(root: Path) -> tuple[Anchor, ...]:
    """The simulated roots that the workspace declares; none where there is no workspace."""
    from qnsp_policy.pipeline.model.build import ROOT_FILE
    from qnsp_policy.pipeline.model.workspace_edge import load

    if not (root / ROOT_FILE).exists():
        return ()
    return tuple(
        Anchor(str(anchor.vendor), anchor.certificate.der, AssuranceClass.SIMULATED, str(anchor.line))
        for anchor in load(root).trust_root.spec.anchors
    )


def _ear_key(path: Path) -> PrivateKey:
    keys = read_key_file(path).keys
    for algorithm in EAR_ALGORITHMS:
        for key in keys:
            if key.algorithm == algorithm:
                return key
    raise OperatorError(
        "QNSP-OPS-090",
        f"{path} holds no key that can sign an EAR",
        subject=str(path),
        expected=" or ".join(EAR_ALGORITHMS),
        next_step="make one: qnsp-policy key new NAME",
    )


def _policy(path: Path) -> dict[str, Any]:
    data = read_plain(path, MAX_LINE)
    if b"apiVersion" in data[:65536]:
        return _reference_values(path, data)
    try:
        return dict(read_object(data, POLICY_MEMBERS))
    except EvidenceError as error:
        raise OperatorError(
            "QNSP-OPS-091",
            f"{path} is no appraisal policy: {error.message}",
            subject=str(path),
            next_step="write one as docs/formats/attest-batch.md says, or give a ReferenceValues document",
        ) from error


def _reference_values(path: Path, data: bytes) -> dict[str, Any]:
    """The alternatives of the ReferenceValues documents of a file."""
    from qnsp_policy.errors import DocumentError, DocumentErrors
    from qnsp_policy.pipeline.documents import parse
    from qnsp_policy.pipeline.model.kinds.attestation import ReferenceValues
    from qnsp_policy.pipeline.model.read import read_document
    from qnsp_policy.pipeline.trust.codec import alternative_to_json
    from qnsp_policy.pipeline.trust.reference import alternatives

    parsed = parse(str(path), data)
    problems: list[DocumentError] = list(parsed.problems)
    found = [read_document(source, problems) for source in parsed.documents]
    if problems:
        raise DocumentErrors(problems)
    values = [document for document in found if isinstance(document, ReferenceValues)]
    listed = [one for document in values for one in alternatives(document, None, floors={}, graces=())]
    if not listed:
        raise OperatorError(
            "QNSP-OPS-092",
            f"{path} holds no ReferenceValues document in the state active",
            subject=str(path),
            next_step="only active values admit anything; set spec.state, or name another file",
        )
    return {"alternatives": [alternative_to_json(one) for one in listed]}


def _build() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"qnsp-policy {version('qnsp-policy')}"
    except PackageNotFoundError:
        return "qnsp-policy"


def counted(answers: Sequence[str]) -> tuple[int, int]:
    """How many lines were accepted, and how many refused."""
    accepted = sum(json.loads(answer)["verdict"] == "accepted" for answer in answers)
    return accepted, len(answers) - accepted


__all__ = ["Asked", "counted", "verify_evidence", "verify_list"]
