"""Building a workspace: good documents resolve, wrong ones are all told, each with its code and its place."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from qnsp_policy.errors import DocumentError, DocumentErrors
from qnsp_policy.pipeline.documents import render
from qnsp_policy.pipeline.model import Address, build
from qnsp_policy.pipeline.model.kinds import KINDS, Endpoint, Grant, Platform, Tenant
from qnsp_policy.pipeline.model.signature_files import MAX_ENVELOPE
from qnsp_policy.testing.every_kind import every_kind_files
from qnsp_policy.testing.generator import DOCUMENT_FAULTS, RULE_FAULTS, generated_files, with_faults
from qnsp_policy.testing.workspaces import sample_files, sample_jwk


def problems_of(files: Mapping[str, bytes]) -> tuple[DocumentError, ...]:
    with pytest.raises(DocumentErrors) as raised:
        build(files)
    return raised.value.problems


def mutated(file: str, old: str, new: str) -> dict[str, bytes]:
    """The every-kind workspace with one text replaced once."""
    files = every_kind_files()
    assert old.encode() in files[file], f"{old!r} is not in {file}"
    return files | {file: files[file].replace(old.encode(), new.encode(), 1)}


def test_every_kind_builds() -> None:
    """A workspace with every kind and every platform type is good."""
    workspace = build(every_kind_files())
    assert {document.kind for document in workspace.documents.values()} == set(KINDS)
    assert {platform.spec.type for platform in workspace.of_kind(Platform)} == {
        "local", "aws", "kubernetes", "bare-metal", "gcp", "azure",
    }  # fmt: skip
    assert list(workspace.documents) == sorted(workspace.documents)


def test_references_are_full_addresses() -> None:
    """A reference without its kind is completed in the model and stays as written in the canonical form."""
    workspace = build(every_kind_files())
    assert workspace.find(Address("Grant/corpus-to-training"), Grant).spec.broker == "KeyBroker/main"
    assert b'"broker":"main"' in workspace.canonical(Address("Grant/corpus-to-training"))


MUTATIONS = {
    "unknown-field": ("endpoints.yaml", "responseSignature:", "responseSignatur:", "QNSP-DOC-014", "endpoints.yaml:32:3"),
    "unknown-field-deep": ("enclaves.yaml", "vcpus: 2, memory", "vcpu: 2, memory", "QNSP-DOC-014", "enclaves.yaml:35:22"),
    "unknown-kind": ("governance.yaml", "kind: Waiver", "kind: Weiver", "QNSP-DOC-015", "governance.yaml:27:7"),
    "other-version": ("more.yaml", "qnsp.policy/v1", "apps/v1", "QNSP-DOC-016", "more.yaml:1:13"),
    "missing-field": ("endpoints.yaml", "  model: Artefact/minilm\n", "", "QNSP-DOC-017", "endpoints.yaml:25:1"),
    "missing-kind": ("platform.yaml", "kind: Platform\n", "", "QNSP-DOC-017", "platform.yaml:1:1"),
    "missing-type": ("platform.yaml", "type: local, ", "", "QNSP-DOC-017", "platform.yaml:4:1"),
    "text-for-boolean": ("endpoints.yaml", "receipts: true", 'receipts: "true"', "QNSP-DOC-018", "endpoints.yaml:33:13"),
    "yaml-1.1-boolean": ("endpoints.yaml", "receipts: true", "receipts: on", "QNSP-DOC-018", "endpoints.yaml:33:13"),
    "number-for-text": ("platforms.yaml", '"012345678901"', "012345678901", "QNSP-DOC-018", "platforms.yaml:6:12"),
    "boolean-for-number": ("enclaves.yaml", "members: 1", "members: true", "QNSP-DOC-018", "enclaves.yaml:35:19"),
    "float-for-number": ("enclaves.yaml", "members: 1", "members: 1.5", "QNSP-DOC-018", "enclaves.yaml:35:19"),
    "text-for-list": ("enclaves.yaml", "to: [Enclave/clinic-enclave]", "to: Enclave/clinic-enclave", "QNSP-DOC-018", "enclaves.yaml:48:7"),
    "list-for-mapping": ("enclaves.yaml", "size: {members: 1, vcpus: 2, memory: 2Gi}", "size: [1]", "QNSP-DOC-018", "enclaves.yaml:35:9"),
    "null-for-mapping": ("platform.yaml", 'storage: {url: "sqlite://"}', "storage:", "QNSP-DOC-018", "platform.yaml:14:3"),
    "not-in-set": ("platform.yaml", "mode: strict", "mode: stric", "QNSP-DOC-019", "platform.yaml:16:9"),
    "unknown-type": ("platform.yaml", "type: local", "type: loca", "QNSP-DOC-019", "platform.yaml:4:14"),
    "local-not-simulated": ("platform.yaml", "simulated: true", "simulated: false", "QNSP-DOC-019", "platform.yaml:4:32"),
    "unknown-role": ("trust-root.yaml", "roles: [author,", "roles: [autor,", "QNSP-DOC-019", "trust-root.yaml:8:15"),
    "name-shape": ("tenants.yaml", "name: research}", "name: Research}", "QNSP-DOC-021", "tenants.yaml:15:18"),
    "duration-shape": ("enclaves.yaml", "lease: 12h", "lease: 12 hours", "QNSP-DOC-021", "enclaves.yaml:50:10"),
    "size-shape": ("enclaves.yaml", "memory: 2Gi", "memory: 2 GB", "QNSP-DOC-021", "enclaves.yaml:35:40"),
    "date-shape": ("enclaves.yaml", "expires: 2027-05-21", "expires: 2027-02-30", "QNSP-DOC-021", "enclaves.yaml:7:12"),
    "digest-shape": ("endpoints.yaml", 'digest: "sha256:', 'digest: "SHA256:', "QNSP-DOC-021", "endpoints.yaml:8:11"),
    "path-leaves": ("endpoints.yaml", "artefacts/minilm.sealed", "../minilm.sealed", "QNSP-DOC-021", "endpoints.yaml:7:13"),
    "path-absolute": ("endpoints.yaml", "wrappedKey: artefacts", "wrappedKey: /artefacts", "QNSP-DOC-021", "endpoints.yaml:10:66"),
    "credentials-in-url": ("platform.yaml", "sqlite://", "postgresql://u:p@h/d", "QNSP-DOC-021", "platform.yaml:14:18"),
    "newline-in-word": ("platforms.yaml", "context: prod-eu", 'context: "a\\nb"', "QNSP-DOC-021", "platforms.yaml:20:12"),
    "vmpl-out-of-range": ("enclaves.yaml", "vmpl: 0", "vmpl: 4", "QNSP-DOC-021", "enclaves.yaml:27:13"),
    "negative": ("enclaves.yaml", "bootloader: 3", "bootloader: -3", "QNSP-DOC-021", "enclaves.yaml:25:28"),
    "empty-list": ("enclaves.yaml", "to: [Enclave/clinic-enclave]", "to: []", "QNSP-DOC-021", "enclaves.yaml:48:7"),
    "oidc-is-not-there": ("trust-root.yaml", "{type: software, keys: [", '{type: oidc, issuer: "https://x", keys: [', "QNSP-DOC-019", "trust-root.yaml:9:24"),
    "private-jwk": ("tenants.yaml", '"alg": "ML-DSA-65"', '"alg": "ML-DSA-65", "priv": "AAAA"', "QNSP-DOC-038", "tenants.yaml:11:37"),
    "jwk-without-key": ("tenants.yaml", '"pub":', '"bup":', "QNSP-DOC-021", "tenants.yaml:11:37"),
    "rule-and-control": ("governance.yaml", "rule: keys/recovery-sites", "rule: keys/recovery-sites\n  control: {framework: Framework/iso27001-2022, control: A.8.11}", "QNSP-DOC-039", "governance.yaml:29:1"),
    "threshold-out-of-reach": ("governance.yaml", "threshold: 2", "threshold: 3", "QNSP-DOC-041", "governance.yaml:71:1"),
    "owner-twice": ("tenants.yaml", "owners: [alice@clinic.example]", "owners: [alice@clinic.example, alice@clinic.example]", "QNSP-DOC-042", "tenants.yaml:4:1"),
    "key-listed-twice": ("tenants.yaml", "name: api/clinic-app", "name: model/minilm", "QNSP-DOC-042", "tenants.yaml:25:1"),
    "identity-twice": ("trust-root.yaml", "name: bob@clinic.example", "name: alice@clinic.example", "QNSP-DOC-042", "trust-root.yaml:4:1"),
    "shares-without-custodians": ("more.yaml", ", custodians: [alice@clinic.example, bob@clinic.example]", "", "QNSP-DOC-043", "more.yaml:94:14"),
    "wrong-kind": ("endpoints.yaml", "enclave: Enclave/", "enclave: Tenant/", "QNSP-REF-001", "endpoints.yaml:26:12"),
    "missing-document": ("endpoints.yaml", "enclave: Enclave/clinic-enclave", "enclave: Enclave/clinic-enclav", "QNSP-REF-002", "endpoints.yaml:26:12"),
    "missing-tier": ("tenants.yaml", "hip5-tier-2", "hip5-tier-9", "QNSP-REF-002", "tenants.yaml:5:9"),
    "missing-identity": ("tenants.yaml", "owners: [bob@clinic.example]", "owners: [rob@clinic.example]", "QNSP-REF-003", "tenants.yaml:20:12"),
    "not-a-reference": ("endpoints.yaml", "enclave: Enclave/clinic-enclave", "enclave: enclaves/x/y", "QNSP-REF-004", "endpoints.yaml:26:12"),
    "kind-left-out": ("governance.yaml", "object: KeyHierarchy/clinic", "object: clinic", "QNSP-REF-004", "governance.yaml:31:11"),
    "resource-of-nobody": ("enclaves.yaml", "clinic/model/minilm", "clinik/model/minilm", "QNSP-REF-005", "enclaves.yaml:46:15"),
    "missing-key": ("enclaves.yaml", "clinic/model/minilm", "clinic/model/maxilm", "QNSP-REF-007", "enclaves.yaml:46:15"),
    "tier-cycle": ("governance.yaml", "extends: CryptoTier/hip5-tier-2", "extends: CryptoTier/clinic-tier", "QNSP-REF-006", "governance.yaml:7:12"),
    "same-name-twice": ("more.yaml", "name: third", "name: standby", "QNSP-MOD-001", "more.yaml:105:18"),
    "two-projects": ("platform.yaml", "apiVersion", "apiVersion: qnsp.policy/v1\nkind: Project\nmetadata: {name: two}\nspec: {}\n---\napiVersion", "QNSP-MOD-003", "platform.yaml:2:7"),
    "key-in-two-hierarchies": ("tenants.yaml", "  tenant: Tenant/research\n  wrappingRoot: {algorithm: ML-KEM-1024, custody: software, rotation: 365d}\n  signingRoot: {algorithm: ML-DSA-87, custody: software, rotation: 365d}\n  keys:\n", "  tenant: Tenant/clinic\n  wrappingRoot: {algorithm: ML-KEM-1024, custody: software, rotation: 365d}\n  signingRoot: {algorithm: ML-DSA-87, custody: software, rotation: 365d}\n  keys:\n    - {name: model/minilm, algorithm: AES-256-GCM, rotation: 30d}\n", "QNSP-MOD-005", "tenants.yaml:43:14"),
    "two-listeners": ("endpoints.yaml", "127.0.0.1:8443", "127.0.0.1:8555", "QNSP-MOD-006", "platform.yaml:15:11"),
    "tier-weaker-than-parent": ("governance.yaml", "{allowed: [ML-KEM-1024, MLKEM1024-P384], default: MLKEM1024-P384}", "{allowed: [ML-KEM-512], default: ML-KEM-512}", "QNSP-MOD-022", "governance.yaml:9:18"),
    "ssh-key-without-its-name": ("trust-root.yaml", "type: software", "type: ssh", "QNSP-DOC-021", "trust-root.yaml:9:35"),
    "lease-longer-than-parent": ("governance.yaml", "maxLease: 8h", "maxLease: 30h", "QNSP-MOD-022", "governance.yaml:10:13"),
    "profiles-without-common": ("tenants.yaml", "tier: CryptoTier/hip5-tier-2", "tier: CryptoTier/hip5-tier-2\n  profiles: [CryptoTier/qnsp-v1-tier-4]", "QNSP-MOD-021", "tenants.yaml:6:13"),
    "profile-forbids-hybrids": ("tenants.yaml", "tier: CryptoTier/hip5-tier-2", "tier: CryptoTier/hip5-tier-2\n  profiles: [CryptoTier/cnsa2]", "QNSP-MOD-021", "tenants.yaml:6:13"),
}  # fmt: skip


@pytest.mark.parametrize("case", MUTATIONS)
def test_one_mutation_one_code_at_its_place(case: str) -> None:
    """Each wrong document is refused by the code of its cause, at the line and column of the cause."""
    file, old, new, code, place = MUTATIONS[case]
    problems = problems_of(mutated(file, old, new))
    assert (code, place) in [(problem.code, str(problem.place)) for problem in problems], "\n".join(
        render(problem) for problem in problems
    )
    for problem in problems:
        assert problem.next_step or "did you mean" in getattr(problem, "snippet", "")


def test_all_problems_of_all_files_at_once() -> None:
    """Three mistakes in three files are three problems, in the order of files and lines."""
    files = every_kind_files()
    files["endpoints.yaml"] = files["endpoints.yaml"].replace(b"receipts:", b"receipt:")
    files["tenants.yaml"] = files["tenants.yaml"].replace(b"hip5-tier-2", b"hip5-tier-7")
    files["broken.yaml"] = b"a: [\n"
    problems = problems_of(files)
    assert [(problem.code, problem.place.file if problem.place else "") for problem in problems] == [
        ("QNSP-DOC-005", "broken.yaml"),
        ("QNSP-DOC-014", "endpoints.yaml"),
        ("QNSP-REF-002", "tenants.yaml"),
    ]


def test_a_broken_document_is_not_also_reported_as_missing() -> None:
    """What refers to a document with a mistake of its own is not blamed for it."""
    problems = problems_of(mutated("endpoints.yaml", "publisher: lab", "publischer: lab"))
    assert {problem.code for problem in problems} == {"QNSP-DOC-014", "QNSP-DOC-017"}


def test_the_nearest_document_is_named_with_its_place() -> None:
    """A reference that misses says what it may have meant and where that stands."""
    (problem,) = problems_of(
        mutated("endpoints.yaml", "enclave: Enclave/clinic-enclave", "enclave: Enclave/clinik-enclave")
    )
    assert problem.next_step == "nearest: Enclave/clinic-enclave (enclaves.yaml:31)"


def test_rendering_is_what_the_manual_shows() -> None:
    """Code, message, place and address, line with caret and hint."""
    (problem,) = problems_of(mutated("endpoints.yaml", "responseSignature:", "responseSignatur:"))
    assert render(problem) == (
        "error[QNSP-DOC-014]: unknown field `responseSignatur`\n"
        "  --> endpoints.yaml:32:3   Endpoint/clinic-embeddings\n"
        "   |\n"
        "32 |   responseSignatur: {algorithm: ML-DSA-65}\n"
        "   |   ^^^^^^^^^^^^^^^^ did you mean `responseSignature`?"
    )


@pytest.mark.parametrize(
    "name", ["a\\nb", "\\e[31m", "$(reboot)", "`x`", "<b>", "::error::", "a b", "-", "x" * 64, "ünï"]
)
def test_hostile_names_are_refused_and_printed_safely(name: str) -> None:
    """Names with newlines, escapes, shell or Markdown are no names, and the refusal prints none of them raw."""
    for problem in problems_of(mutated("tenants.yaml", "name: research}", f'name: "{name}"}}')):
        text = render(problem)
        assert "\x1b" not in text
        assert problem.code in ("QNSP-DOC-021", "QNSP-REF-002", "QNSP-REF-005")


def test_no_project_is_told_once() -> None:
    """A folder without qnsp.yaml is one problem, not one for each document."""
    files = sample_files()
    del files["qnsp.yaml"]
    assert [problem.code for problem in problems_of(files)] == ["QNSP-MOD-002"]


def test_excluded_files_are_no_documents() -> None:
    """Files that the Project excludes may hold anything, but never the Project itself."""
    files = sample_files() | {"deploy/app.yaml": b"{{ template }}\n"}
    assert {problem.place.file for problem in problems_of(files) if problem.place} == {"deploy/app.yaml"}
    files["qnsp.yaml"] += b'  exclude: ["deploy/*", "qnsp.yaml"]\n'
    assert len(build(files).documents) == len(build(sample_files()).documents)


def test_lineage_in_a_ring_is_refused() -> None:
    """An artefact cannot be made of itself, not even over another."""
    files = every_kind_files()
    files["endpoints.yaml"] = files["endpoints.yaml"].replace(
        b"  publisher: lab@research.example\n",
        b"  publisher: lab@research.example\n  lineage: [{artefact: Artefact/corpus, relation: trained-on}]\n",
        1,
    )
    (problem,) = problems_of(files)
    assert problem.code == "QNSP-REF-006"
    assert "Artefact/corpus -> Artefact/minilm -> Artefact/corpus" in problem.message


def test_a_deep_chain_of_references_is_no_problem() -> None:
    """A lineage of a thousand artefacts is walked without recursion."""
    files = sample_files()
    digest = "sha256:" + "0" * 64
    files["chain.yaml"] = "---\n".join(
        f"apiVersion: qnsp.policy/v1\nkind: Artefact\nmetadata: {{name: c-{n}}}\nspec: {{type: model, location: a, "
        f'digest: "{digest}", publisher: lab@research.example'
        + (f", lineage: [{{artefact: c-{n + 1}, relation: derived-from}}]" if n < 1500 else "")
        + "}\n"
        for n in range(1501)
    ).encode()
    assert len(build(files).documents) > 1500


def test_signature_files_are_sorted_to_their_documents() -> None:
    """Envelopes are handed on by document; files that sign nothing are problems."""
    good = {"signatures/Tenant.clinic.dsse.json": b"1", "signatures/Tenant.clinic.bob.dsse.json": b"2"}
    assert build(sample_files(), signatures=good).signatures == {"Tenant/clinic": (b"2", b"1")}
    with pytest.raises(DocumentErrors) as raised:
        build(sample_files(), signatures={"signatures/x.json": b"", "signatures/Tenant.gone.dsse.json": b""})
    assert sorted(problem.code for problem in raised.value.problems) == ["QNSP-MOD-010", "QNSP-MOD-011"]


def test_digest_covers_values_and_not_their_look() -> None:
    """Comments, order of files and indentation do not change the digest; a value does."""
    files = sample_files()
    base = build(files).digest()
    moved = dict(files)
    moved["a/tenants-2.yaml"] = b"# moved\n" + moved.pop("tenants.yaml")
    assert build(moved).digest() == base
    changed = files | {"enclaves.yaml": files["enclaves.yaml"].replace(b"lease: 12h", b"lease: 13h")}
    assert build(changed).digest() != base


def test_get_names_the_nearest_address() -> None:
    """A wrong address given by a caller is an error of ours with a hint, not a KeyError."""
    workspace = build(sample_files())
    with pytest.raises(DocumentError) as raised:
        workspace.get(Address("Tenant/clinik"))
    assert raised.value.code == "QNSP-REF-002"
    assert raised.value.next_step == "nearest: Tenant/clinic"
    with pytest.raises(DocumentError) as wrong:
        workspace.find(Address("Tenant/clinic"), Endpoint)
    assert wrong.value.code == "QNSP-REF-001"


def test_documents_are_frozen() -> None:
    """A document cannot be changed after it was read."""
    tenant = build(sample_files()).of_kind(Tenant)[0]
    with pytest.raises(ValueError, match="frozen"):
        setattr(tenant.spec, "tier", "CryptoTier/hip5-tier-0")  # noqa: B010 - the type checker refuses the plain form


def test_generated_workspaces_are_good_at_any_size() -> None:
    """The generator of benchmarks writes valid workspaces."""
    for size in (0, 5, 100):
        assert len(build(generated_files(size, files=3)).documents) >= size


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("platforms.yaml", "labels: {owner: infra}", 'labels: {"a\\nb": infra}'),
        ("platforms.yaml", "tags: {cost: research}", 'tags: {"\\e]0;x": research}'),
        ("enclaves.yaml", "floors: {bootloader: 3", 'floors: {"boot loader": 3'),
        ("more.yaml", "initdata: {cdh.toml:", 'initdata: {"../x":'),
    ],
)
def test_keys_that_authors_name_are_plain_words(file: str, old: str, new: str) -> None:
    """Labels, tags, components and files have keys that can be printed anywhere; the caret stands under the key."""
    (problem,) = problems_of(mutated(file, old, new))
    assert problem.code == "QNSP-DOC-021"
    assert "^" in getattr(problem, "snippet", "")
    assert "\x1b" not in render(problem)


def test_references_of_a_wrong_document_are_checked_as_well() -> None:
    """A document with a wrong field and a wrong reference tells both at once."""
    files = mutated("endpoints.yaml", "responseSignature:", "responseSignatur:")
    files["endpoints.yaml"] = files["endpoints.yaml"].replace(b"enclave: Enclave/clinic", b"enclave: Enclave/clinik")
    assert [problem.code for problem in problems_of(files)] == ["QNSP-REF-002", "QNSP-DOC-014"]


def test_the_hint_of_a_caret_is_in_the_json_of_a_problem() -> None:
    """Machines get what people read behind the caret."""
    (problem,) = problems_of(mutated("endpoints.yaml", "responseSignature:", "responseSignatur:"))
    assert problem.to_json() == {
        "code": "QNSP-DOC-014",
        "message": "unknown field `responseSignatur`",
        "subject": "Endpoint/clinic-embeddings",
        "file": "endpoints.yaml",
        "line": 32,
        "column": 3,
        "hint": "did you mean `responseSignature`?",
    }


def test_a_workspace_has_one_project() -> None:
    """A second Project in the root file is told with the place of the first."""
    files = sample_files()
    files["qnsp.yaml"] += b"---\n" + files["qnsp.yaml"].replace(b"name: quickstart}", b"name: other}")
    (problem,) = problems_of(files)
    assert problem.code == "QNSP-MOD-004"
    assert problem.next_step == "the first stands at qnsp.yaml:3:7; remove one"


def test_a_tier_that_leaves_something_open_is_refused() -> None:
    """A tier without parent must say everything itself."""
    files = every_kind_files()
    files["governance.yaml"] = files["governance.yaml"].replace(b"  extends: CryptoTier/hip5-tier-2\n", b"", 1)
    (problem,) = problems_of(files)
    assert problem.code == "QNSP-MOD-020"
    assert "signature, aead, hash" in problem.message


def test_an_envelope_over_its_cap_is_refused() -> None:
    """A signature file of many megabytes is no signature."""
    with pytest.raises(DocumentErrors) as raised:
        build(sample_files(), signatures={"signatures/Tenant.clinic.dsse.json": b" " * (MAX_ENVELOPE + 1)})
    assert [problem.code for problem in raised.value.problems] == ["QNSP-MOD-012"]


def test_generated_faults_are_what_they_say() -> None:
    """Faults of rules leave documents valid; faults of documents are told where they stand, and a seed gives the same."""
    files = generated_files(80)
    assert with_faults(files, RULE_FAULTS, share=0, seed=1) == files
    judged = with_faults(files, RULE_FAULTS, share=0.5, seed=1)
    assert judged != files
    assert judged == with_faults(files, RULE_FAULTS, share=0.5, seed=1)
    assert judged != with_faults(files, RULE_FAULTS, share=0.5, seed=2)
    assert len(build(judged).documents) == len(build(files).documents)
    with pytest.raises(DocumentErrors) as caught:
        build(with_faults(files, DOCUMENT_FAULTS, share=1, seed=1))
    assert {"QNSP-REF-002", "QNSP-DOC-014", "QNSP-DOC-017"} == {problem.code for problem in caught.value.problems}


def test_a_ledger_is_stated_by_a_strong_key_only() -> None:
    """ML-DSA-44 signs checkpoints themselves and Ed25519 is classical: neither states them from a KMS."""
    origin = "origin: qnsp.example/quickstart"
    for name, good in (("app-mldsa", True), ("app-ed25519", False)):
        signer = {"type": "kms", "uri": "awskms:///arn:aws:kms:eu-west-1:012345678901:key/1", "key": sample_jwk(name)}
        files = mutated("qnsp.yaml", origin, f"{origin}, signer: {json.dumps(signer)}")
        if good:
            assert build(files).project.spec.ledger.signer is not None
        else:
            assert [problem.code for problem in problems_of(files)] == ["QNSP-DOC-021"]
