"""`image build|measure|inspect|guest`: images that attest, from a recipe; the same bytes on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import deliver, emit
from qnsp_policy.cli.tree import examples, last_day

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Build enclave images, measure them, look into them."""


@app.command(
    epilog=examples(
        "image build triage.image.json --out triage.eif --pin",
        "image build triage.image.json --out triage.eif --reference-values reference-values.yaml --name triage-2",
    )
)
def build(
    ctx: typer.Context,
    recipe: Annotated[Path, typer.Argument(help="What goes into it (docs/formats/images.md).")],
    out: Annotated[Path, typer.Option(help="The image; for nitro-tpm the document that an AMI is registered by.")],
    pin: Annotated[bool, typer.Option("--pin", help="Write digests that the recipe lacks into it.")] = False,
    reference_values: Annotated[
        Path | None, typer.Option(help="Write a ReferenceValues document with its registers here.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of that document; the recipe's if not given.")] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Last day of the values (YYYY-MM-DD); half a year from now if not given."),
    ] = None,
) -> None:
    """Build an image from a recipe.

    Same inputs, same bytes, same registers.
    """
    from qnsp_policy.workflows.image import build_image

    session: Session = ctx.obj
    until = last_day(expires)
    if reference_values is None and (name or expires):
        raise typer.BadParameter("--name and --expires are of the document that --reference-values writes")
    made = build_image(
        recipe,
        out,
        pin=pin,
        values=reference_values,
        values_name=name,
        expires=until,
        now=session.now,
        progress=session.note,
    )

    def text() -> str:
        lines = [f"wrote {made.path} ({made.size} bytes{', signed' if made.signed else ''})", f"digest  {made.digest}"]
        lines += _registers(made.registers)
        if made.reference_values:
            lines.append(
                f"wrote {made.reference_values}; its state is candidate: nothing is admitted by it until a reviewer makes it active"
            )
        return "\n".join(lines)

    emit(session, made.to_json(), text)


@app.command(epilog=examples("image measure triage.eif", "image measure triage.eif --format json"))
def measure(
    ctx: typer.Context,
    image: Annotated[Path, typer.Argument(help="An enclave image (EIF), whoever built it.")],
) -> None:
    """The registers that an image will show, computed before it runs."""
    from qnsp_policy.workflows.image import measure_image

    session: Session = ctx.obj
    found = measure_image(image)
    emit(session, found, lambda: "\n".join([f"digest  {found['digest']}", *_registers(found["registers"])]))


@app.command(epilog=examples("image inspect triage.eif", "image inspect triage.eif --format json"))
def inspect(
    ctx: typer.Context,
    image: Annotated[Path, typer.Argument(help="An enclave image (EIF), whoever built it.")],
) -> None:
    """What an image holds; a signature that is there must hold."""
    from qnsp_policy.workflows.image import inspect_image

    session: Session = ctx.obj
    found = inspect_image(image)
    emit(session, found, lambda: _inspection(found))


@app.command(epilog=examples("image guest Enclave/triage --out guest.json", "image guest triage"))
def guest(
    ctx: typer.Context,
    enclave: Annotated[str, typer.Argument(help="The Enclave document of the fleet.")],
    out: Annotated[Path | None, typer.Option(help="Write it here.")] = None,
) -> None:
    """What the guest in a fleet's image must be told.

    Made from the documents.
    """
    from qnsp_policy.workflows.image_guest import guest_configuration

    session: Session = ctx.obj
    found = guest_configuration(session.directory, enclave)
    deliver(session, found, out, note="it goes into the image, and PCR2 measures it")


def _registers(found: Any) -> list[str]:
    return [f"{name:<7} {value}" for name, value in found.items()]


def _inspection(found: dict[str, Any]) -> str:
    from qnsp_policy.pipeline.review.escape import terminal

    said = found["metadata"] if isinstance(found["metadata"], dict) else {}
    lines = [
        f"EIF version {found['version']}, {found['defaultMemory'] >> 20} MiB and {found['defaultCpus']} CPUs by default, "
        + ("signed: the signature holds" if found["signed"] else "not signed"),
        f"named   {terminal(str(said.get('ImageName', '')))} {terminal(str(said.get('ImageVersion', '')))}",
        f"cmdline {terminal(found['cmdline'])}",
        "",
    ]
    lines += [f"{section['name']:<10} {section['bytes']:>12}  {section['digest']}" for section in found["sections"]]
    for index, ramdisk in enumerate(found["ramdisks"]):
        what = f"{ramdisk['entries']} entries, {ramdisk['bytes']} bytes" if ramdisk["read"] else "compressed or unknown"
        lines.append(f"ramdisk {index}: {what}")
    return "\n".join([*lines, "", f"digest  {found['digest']}", *_registers(found["registers"])])
