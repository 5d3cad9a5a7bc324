"""`attest inspect|verify|reference-values|ask`: evidence of any kind, verified offline; and a key asked for as a member would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from qnsp_policy.cli.commands import attest_collateral
from qnsp_policy.cli.evidence import Kind, named
from qnsp_policy.cli.exits import OK, UNPROVEN
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples, last_day, one_of

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(attest_collateral.app, name="collateral", help="What verification needs: fetch, carry, see when it ends.")

VERIFIERS = ("nvidia-sdk", "nvattest")


@app.command(epilog=examples("attest inspect report.bin --offsets", "attest inspect report.bin --format json"))
def inspect(
    ctx: typer.Context,
    evidence: Annotated[Path, typer.Argument(help="Evidence, as bytes, hex, base64 or in JSON.")],
    kind: Kind = "auto",
    offsets: Annotated[bool, typer.Option("--offsets", help="Show where each field stands, in bytes.")] = False,
) -> None:
    """What evidence says, unverified."""
    from qnsp_policy.workflows.attest_inspect import inspect_evidence

    session: Session = ctx.obj
    found = inspect_evidence(evidence, kind)
    emit(session, found, lambda: _table(found, session, offsets=offsets))


def _table(found: dict[str, Any], session: Session, *, offsets: bool) -> str:
    """The fields as a table: never wider than the terminal, or 100 columns where there is none."""
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from qnsp_policy.pipeline.review.escape import visible

    width = _width()
    console = Console(file=io.StringIO(), width=width, force_terminal=session.color, no_color=not session.color)
    table = Table(box=None, pad_edge=False, header_style="bold")
    if offsets:
        table.add_column("offset", justify="right")
        table.add_column("size", justify="right")
    table.add_column("field", overflow="fold", max_width=width // 3)
    table.add_column("value", overflow="fold")
    for field in found["fields"]:
        place = [f"0x{field['offset']:04x}", str(field["size"])] if offsets else []
        table.add_row(*place, Text(visible(field["name"])), Text(visible(field["value"])))
    console.print(table)
    text = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    lines = [line.rstrip() for line in text.splitlines()]
    head = (
        f"{found['kind']}, {found['bytes']} bytes ({found['form']}), NOT VERIFIED: fields say what their sender wrote"
    )
    return "\n".join([head, "", *lines])


@app.command(
    epilog=examples(
        "attest verify report.bin --collateral amd/ --nonce 00ff --policy values.yaml",
        "attest verify --batch fleet.jsonl",
        ends="7 evidence refused",
    )
)
def verify(
    ctx: typer.Context,
    evidence: Annotated[Path | None, typer.Argument(help="Evidence, as bytes, hex, base64 or in JSON.")] = None,
    kind: Kind = "auto",
    collateral: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="Folder or file of collateral; repeatable.")
    ] = None,
    endorsement: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="What came along: vcek, device-chain...; repeatable.")
    ] = None,
    endorsements: Annotated[Path | None, typer.Option(help="Certificate table that came along (auxblob).")] = None,
    anchor: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Root instead of the pinned ones; repeatable.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="Appraisal policy (JSON), or ReferenceValues.")] = None,
    nonce: Annotated[
        str | None, typer.Option(metavar="HEX", help="Expected nonce, hex; padded where the field is larger.")
    ] = None,
    report_data: Annotated[
        str | None, typer.Option(metavar="HEX", help="Expected report data, hex, the whole field.")
    ] = None,
    require_checked: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Statement that must not be `not checked`; * for all; repeatable."),
    ] = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Accept simulated evidence too, under the workspace's anchors.")
    ] = False,
    ear: Annotated[Path | None, typer.Option(help="Key file that signs the result as an EAR (JWT).")] = None,
    ear_out: Annotated[Path | None, typer.Option("--ear-out", "--out", help="Write the EAR here.")] = None,
    second_opinion: Annotated[
        str | None,
        typer.Option(
            help="nvidia-sdk or nvattest judges the same GPU evidence; a disagreement refuses.", **one_of(VERIFIERS)
        ),
    ] = None,
    batch: Annotated[Path | None, typer.Option(help="JSON lines: judge many; answers are JSON lines.")] = None,
) -> None:
    """Verify evidence of any kind offline.

    Against the vendors' pinned roots, or those of --anchor.
    """
    session: Session = ctx.obj
    if (batch is None) == (evidence is None):
        raise typer.BadParameter("give one file of evidence, or --batch LIST")
    if batch is not None:
        single = (
            collateral,
            endorsement,
            endorsements,
            anchor,
            policy,
            nonce,
            report_data,
            require_checked,
            ear,
            ear_out,
        )
        if any(single) or second_opinion or kind != "auto":
            raise typer.BadParameter(
                "a list says itself what each line needs; --batch goes with --allow-simulated only"
            )
        _verify_list(session, batch, allow_simulated=allow_simulated)
        return
    if nonce is not None and report_data is not None:
        raise typer.BadParameter("--nonce and --report-data are two ways to say one thing; give one")
    if ear_out is not None and ear is None:
        raise typer.BadParameter("--ear-out is where the EAR goes; give --ear KEYFILE too")
    from qnsp_policy.workflows.attest_verify import Asked, verify_evidence

    assert evidence is not None
    along = [named(item) for item in endorsement or ()] + ([("auxblob", endorsements)] if endorsements else [])
    asked = Asked(
        evidence,
        kind,
        tuple(along),
        tuple(collateral or ()),
        tuple(anchor or ()),
        policy,
        nonce,
        report_data,
        tuple(require_checked or ()),
        allow_simulated,
        ear,
        second_opinion or "",
    )
    found = verify_evidence(session.directory, asked, now=session.now)
    if ear_out is not None and "ear" in found:
        ear_out.write_text(found["ear"] + "\n", encoding="ascii")
        session.note(f"wrote {ear_out} (EAR)")
    emit(session, found, lambda: _verdict(found, session, with_ear=ear_out is None))
    session.finish(OK if found["verdict"] == "accepted" else UNPROVEN)


def _verify_list(session: Session, batch: Path, *, allow_simulated: bool) -> None:
    from qnsp_policy.workflows.attest_verify import verify_list

    accepted = refused = 0
    collected: list[Any] = []
    for text in verify_list(session.directory, batch, allow_simulated=allow_simulated, now=session.now):
        answer = json.loads(text)
        accepted += answer["verdict"] == "accepted"
        refused += answer["verdict"] != "accepted"
        if session.format == "json":
            collected.append(answer)
        else:
            session.say(text)
    if session.format == "json":
        emit(session, collected, lambda: "")
    session.note(f"{accepted} accepted, {refused} refused of {accepted + refused}")
    session.finish(UNPROVEN if refused or not accepted else OK)


def _verdict(found: dict[str, Any], session: Session, *, with_ear: bool) -> str:
    from qnsp_policy.pipeline.review.attest_text import verdict_text

    return verdict_text(found, paint=paint_of(session), width=_width(), with_ear=with_ear)


def _width() -> int:
    """Columns of the terminal or of COLUMNS, else 100."""
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


@app.command(
    "reference-values",
    epilog=examples(
        "attest reference-values image.eif --name enclave-2026-11",
        "attest reference-values launch.json --out reference-values.yaml",
    ),
)
def reference_values(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="FROM", help="Enclave image, launch inputs (JSON), or evidence.")],
    name: Annotated[str, typer.Option(help="Name of the document.")] = "reference-values",
    expires: Annotated[
        str | None, typer.Option(metavar="DAY", help="Last day (YYYY-MM-DD); half a year from now if not given.")
    ] = None,
    kind: Kind = "auto",
    collateral: Annotated[
        list[Path] | None, typer.Option(metavar="...", help="For evidence, as in `attest verify`.")
    ] = None,
    endorsement: Annotated[
        list[str] | None, typer.Option(metavar="...", help="For evidence, as in `attest verify`.")
    ] = None,
    anchor: Annotated[
        list[Path] | None, typer.Option(metavar="...", help="For evidence, as in `attest verify`.")
    ] = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Learn from simulated evidence too.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the document here.")] = None,
) -> None:
    """Write a ReferenceValues document.

    Computed from what is launched, or learnt from evidence (trust on first use).
    """
    from qnsp_policy.workflows.attest_values import as_yaml
    from qnsp_policy.workflows.attest_values import reference_values as make

    session: Session = ctx.obj
    until = last_day(expires)
    line: dict[str, Any] = {"kind": kind}
    if endorsement:
        line["endorsements"] = {name: str(path) for name, path in map(named, endorsement)}
    if collateral:
        line["collateral"] = [str(path) for path in collateral]
    if anchor:
        line["anchors"] = [str(path) for path in anchor]
    document = make(
        source, name=name, expires=until, evidence_line=line, allow_simulated=allow_simulated, now=session.now
    )
    if out is not None:
        out.write_text(as_yaml(document), encoding="utf-8")
        session.note(f"wrote {out}; its state is candidate: nothing is admitted by it until a reviewer makes it active")
    emit(session, document, lambda: "" if out is not None else as_yaml(document).rstrip("\n"))


@app.command(
    epilog=examples(
        "attest collect --nonce 00ff... --out gpus.json",
        "attest collect --nonce 00ff... --by nvattest --format json",
    )
)
def collect(
    ctx: typer.Context,
    nonce: Annotated[str, typer.Option(metavar="HEX", help="32 bytes, hex: what the evidence shall answer.")],
    by: Annotated[
        str,
        typer.Option(help="nvidia-sdk or nvattest.", **one_of(VERIFIERS)),
    ] = "nvidia-sdk",
    out: Annotated[Path | None, typer.Option(help="Write the additional evidence (JSON) here.")] = None,
) -> None:
    """Take evidence of this machine's GPUs.

    As additional evidence for a key broker.
    """
    from qnsp_policy.workflows.attest_opinion import collect_gpus

    session: Session = ctx.obj
    found = collect_gpus(by, nonce)
    text = json.dumps({"nvidia": found["nvidia"]})
    if out is not None:
        out.write_text(text + "\n", encoding="ascii")
        session.note(f"wrote {out}")
    if found["note"]:
        session.note(found["note"])
    emit(session, found, lambda: "" if out is not None else text)


@app.command(
    epilog=examples(
        "attest ask clinic/model/minilm --enclave research-enclave",
        "attest ask research/data/notes --enclave research-enclave",
    )
)
def ask(
    ctx: typer.Context,
    resource: Annotated[str, typer.Argument(help="tenant/type/name")],
    enclave: Annotated[str, typer.Option(help="Whose evidence is shown to the broker.")],
) -> None:
    """Ask the broker for a key as an enclave's member would.

    Says what it answered, and why; the key is thrown away.
    """
    from qnsp_policy.workflows.attest import ask_broker

    session: Session = ctx.obj
    found = ask_broker(session.directory, resource, enclave, now=session.now)
    emit(session, found, lambda: "\n".join(found["lines"]))
    session.finish(OK if found["released"] else UNPROVEN)


@app.command(
    "simulated-values",
    epilog=examples("attest simulated-values clinic-enclave", "attest simulated-values research-enclave --format json"),
)
def simulated(ctx: typer.Context, enclave: Annotated[str, typer.Argument(help="The enclave's name.")]) -> None:
    """What members of a simulated enclave will measure.

    The two values for its ReferenceValues document, and the anchors for the TrustRoot; the simulated vendors are made if need be.
    """
    from qnsp_policy.pipeline.review.attest_text import simulated_text
    from qnsp_policy.workflows.attest_simulated import simulated_values

    session: Session = ctx.obj
    found = simulated_values(session.directory, enclave, now=session.now)
    emit(session, found, lambda: simulated_text(found))
