"""Appraisal: one whole alternative, nothing by default, every reason named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    AppraisalPolicy,
    AssuranceClass,
    AttestationResult,
    ClaimValue,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SNP, GPU = EvidenceKind.SEV_SNP, EvidenceKind.NVIDIA_GPU
REPORT_DATA = b"\x01" * 64


def verified(kind: EvidenceKind = SNP, **claims: ClaimValue) -> VerifiedClaims:
    defaults: dict[str, ClaimValue] = {
        "measurement": "aa" * 48,
        "hostData": "bb" * 32,
        "vmpl": 0,
        "policy.debug": False,
        "policy.smt": True,
        "tcb.reported.snp": 14,
        "chipId": "cc" * 64,
        "tcbStatus": "UpToDate",
    }
    return VerifiedClaims(
        kind=kind,
        assurance=AssuranceClass.HARDWARE_TEE,
        claims={**defaults, **{name.replace("__", "."): value for name, value in claims.items()}},
        report_data=REPORT_DATA,
        statements=(Statement("signature", Verdict.OK, ""), Statement("revocation", Verdict.NOT_CHECKED, "no CRL")),
        not_after=NOW + SECOND,
    )


GOOD = Alternative(
    "ReferenceValues/good#0",
    SNP,
    {"measurement": "aa" * 48, "hostData": "bb" * 32, "vmpl": 0},
    {"tcb.reported.snp": 14},
    not_after=NOW,
)
POLICY = AppraisalPolicy((GOOD,), frozenset({AssuranceClass.HARDWARE_TEE}))


def codes(result: AttestationResult) -> list[str]:
    return [mismatch.code[-3:] for mismatch in result.mismatches]


def test_whole_alternative_is_accepted() -> None:
    """Claims that meet one alternative whole are accepted, and it is named."""
    result = appraise(verified(), POLICY, NOW)
    assert (result.accepted, result.matched, result.mismatches) == (True, "ReferenceValues/good#0", ())
    assert {s.name: s.verdict for s in result.statements}["measurements"] is Verdict.OK


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        (verified(measurement="ab" * 48), "031"),
        (verified(hostData="00" * 32), "032"),
        (verified(vmpl=1), "033"),
        (verified(tcb__reported__snp=13), "040"),
        (verified(policy__debug=True), "020"),
        (verified(vmpl=False), "037"),
        (verified(vmpl="0"), "037"),
        (verified(tcb__reported__snp=True), "037"),
        (replace(verified(), claims={"measurement": "aa" * 48, "hostData": "bb" * 32, "tcb.reported.snp": 14}), "030"),
        (replace(verified(), claims={"measurement": "aa" * 48, "hostData": "bb" * 32, "vmpl": 0}), "030"),
        (replace(verified(), kind=EvidenceKind.TDX), "001"),
        (replace(verified(), assurance=AssuranceClass.SIMULATED), "003"),
        (replace(verified(), not_after=NOW - SECOND), "004"),
    ],
)
def test_one_difference_refuses_with_its_code(claims: VerifiedClaims, code: str) -> None:
    """One claim changed, below its floor, absent or of another type: refused by its own code."""
    result = appraise(claims, POLICY, NOW)
    assert not result.accepted
    assert codes(result) == [code]


@pytest.mark.parametrize(
    ("claim", "value", "code"),
    [
        ("policy.smt", False, "034"),
        ("chipId", "00" * 64, "035"),
        ("tcbStatus", "OutOfDate", "038"),
        ("colour", "red", "036"),
    ],
)
def test_families_of_claims_have_their_codes(claim: str, value: ClaimValue, code: str) -> None:
    """Flags, identities, the TCB status and other claims are told apart."""
    policy = replace(POLICY, alternatives=(replace(GOOD, equals={claim: value}),))
    assert codes(appraise(verified(colour="blue"), policy, NOW)) == [code]


def test_empty_policy_accepts_nothing() -> None:
    """No alternative and no assurance class accept nothing."""
    assert codes(appraise(verified(), replace(POLICY, alternatives=()), NOW)) == ["001"]
    assert codes(appraise(verified(), replace(POLICY, assurance=frozenset()), NOW)) == ["003"]


def test_alternatives_never_combine() -> None:
    """Half of one tuple and half of another do not make a whole."""
    one = replace(GOOD, name="one", equals={"measurement": "aa" * 48, "hostData": "00" * 32})
    other = replace(GOOD, name="other", equals={"measurement": "00" * 48, "hostData": "bb" * 32})
    result = appraise(verified(), replace(POLICY, alternatives=(one, other)), NOW)
    assert not result.accepted
    assert {mismatch.alternative for mismatch in result.mismatches} == {"one", "other"}


def test_reference_values_expire_to_the_second() -> None:
    """Reference values hold up to and including their end."""
    late = replace(verified(), not_after=NOW + 10 * SECOND)
    assert appraise(late, POLICY, NOW).accepted
    assert codes(appraise(late, POLICY, NOW + SECOND)) == ["002"]


def test_debug_needs_a_word_of_its_own() -> None:
    """A debuggable attester is accepted only where an alternative itself demands it."""
    policy = replace(POLICY, alternatives=(replace(GOOD, equals={**GOOD.equals, "policy.debug": True}),))
    assert appraise(verified(policy__debug=True), policy, NOW).accepted


def test_tcb_status_must_be_named_unless_up_to_date() -> None:
    """A status other than UpToDate is refused unless the alternative names it, or sets a floor of its level."""
    old = verified(tcbStatus="SWHardeningNeeded", tcb__statusLevel=5)
    assert codes(appraise(old, POLICY, NOW)) == ["038"]
    named = replace(GOOD, equals={**GOOD.equals, "tcbStatus": "SWHardeningNeeded"})
    assert appraise(old, replace(POLICY, alternatives=(named,)), NOW).accepted
    floor = replace(GOOD, floors={"tcb.statusLevel": 3})
    assert appraise(old, replace(POLICY, alternatives=(floor,)), NOW).accepted
    worse = verified(tcbStatus="OutOfDate", tcb__statusLevel=2)
    assert codes(appraise(worse, replace(POLICY, alternatives=(floor,)), NOW)) == ["040"]


def test_report_data() -> None:
    """Expected report data must be the same in length and bytes; none at all has a code of its own."""
    for expected, code in ((REPORT_DATA[:48], "010"), (REPORT_DATA[:-1] + b"\0", "011")):
        assert codes(appraise(verified(), replace(POLICY, expected_report_data=expected), NOW)) == [code]
    assert codes(
        appraise(replace(verified(), report_data=b""), replace(POLICY, expected_report_data=REPORT_DATA), NOW)
    ) == ["012"]
    result = appraise(verified(), replace(POLICY, expected_report_data=REPORT_DATA), NOW)
    assert result.accepted
    assert {s.name: s.verdict for s in result.statements}["freshness"] is Verdict.OK


def test_required_statements() -> None:
    """A statement that must be checked and was not, or was not even made, refuses."""
    for required in ("revocation", "binding", "freshness"):
        assert codes(appraise(verified(), replace(POLICY, require_checked=frozenset({required})), NOW)) == ["005"]
    assert appraise(verified(), replace(POLICY, require_checked=frozenset({"signature"})), NOW).accepted
    assert codes(appraise(verified(), replace(POLICY, require_checked=frozenset({"*"})), NOW)) == ["005", "005"]
    fresh = replace(POLICY, require_checked=frozenset({"freshness"}), expected_report_data=REPORT_DATA)
    assert appraise(verified(), fresh, NOW).accepted


def test_refused_statement_of_the_verifier() -> None:
    """What the verifier refused, appraisal refuses with the verifier's code."""
    claims = replace(verified(), statements=(Statement("tcb", Verdict.REFUSED, "bad", "QNSP-ATT-XYZ-001"),))
    assert codes(appraise(claims, POLICY, NOW)) == ["001"]


def test_devices_are_matched_one_to_one() -> None:
    """Each required device by one distinct device, whatever the order; no device missing, none over."""

    def gpu(name: str) -> VerifiedClaims:
        return replace(verified(GPU), claims={"driver": name})

    def want(**equals: ClaimValue) -> Alternative:
        return Alternative("gpu", GPU, equals)

    machine = replace(verified(), devices=(gpu("a"), gpu("b")))
    both = replace(POLICY, alternatives=(replace(GOOD, devices=(want(), want(driver="a"))),))
    assert appraise(machine, both, NOW).accepted
    twice = replace(POLICY, alternatives=(replace(GOOD, devices=(want(driver="a"), want(driver="a"))),))
    assert "050" in codes(appraise(machine, twice, NOW))
    for devices in ((), (want(),), (want(), want(), want())):
        assert codes(appraise(machine, replace(POLICY, alternatives=(replace(GOOD, devices=devices),)), NOW)) == ["050"]
    assert "003" in codes(
        appraise(replace(machine, devices=(gpu("a"), replace(gpu("b"), assurance=AssuranceClass.SIMULATED))), both, NOW)
    )


@given(
    st.dictionaries(
        st.sampled_from(sorted(verified().claims)),
        st.one_of(st.text(max_size=4), st.integers(), st.booleans()),
        min_size=1,
    )
)
def test_any_changed_required_claim_refuses(changes: dict[str, ClaimValue]) -> None:
    """Whatever a required claim is changed to, the answer never turns to accepted."""
    policy = replace(POLICY, alternatives=(Alternative("all", SNP, dict(verified().claims)),))
    claims = replace(verified(), claims={**verified().claims, **changes})
    same = all(
        type(claims.claims[name]) is type(value) and claims.claims[name] == value
        for name, value in verified().claims.items()
    )
    assert appraise(claims, policy, NOW).accepted == same
