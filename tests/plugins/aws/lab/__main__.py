"""The examples on AWS, whole, without AWS: docs/howto/aws-without-aws.md.

    python -m tests.plugins.aws.lab /tmp/prod --plugins /tmp/plugins      prepare the workspace, then serve until interrupted
    aws-lab . --image triage urgent      while it serves, in the workspace: another image, for a rollout
    aws-lab . --spoil triage             ... whose bytes somebody replaced; --upload mends it

It is a test double, not AWS: moto with what it lacks, and instances that are played by processes of this machine.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from qnsp_policy.pipeline.model.kinds import Platform
from qnsp_policy.pipeline.model.kinds.platform import AwsPlatform
from qnsp_policy.pipeline.model.workspace_edge import load
from tests.plugins.aws.lab.members import REPOSITORY
from tests.plugins.aws.lab.prepare import image, spoil, upload
from tests.plugins.aws.lab.world import Lab, told
from tests.plugins.aws.session import Aws


def _install(folder: Path) -> None:
    """This program as `aws-lab`."""
    path = folder / "aws-lab"
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{sys.executable}" -m tests.plugins.aws.lab "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)


def main() -> int:
    """Serve, or change an image."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.plugins.aws.lab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workspace", type=Path, help="as `init --template aws-...` made it")
    parser.add_argument("--port", type=int, default=5599, help="of the AWS-shaped server, on loopback")
    parser.add_argument("--plugins", type=Path, help="folder for the stand-in of pulumi-resource-aws")
    parser.add_argument("--patience", type=float, default=600.0, help="seconds a new member may take to attest")
    change = parser.add_argument_group("in a shell of its own, while the lab runs")
    change.add_argument("--image", nargs=2, metavar=("FLEET", "WORD"), help="build FLEET's image anew, saying WORD")
    change.add_argument("--spoil", metavar="FLEET", help="put other bytes in the place of FLEET's image")
    change.add_argument("--upload", action="store_true", help="put every image in its place again")
    chosen = parser.parse_args()
    root = chosen.workspace.resolve()
    if chosen.image or chosen.spoil or chosen.upload:
        if chosen.image:
            sys.stdout.write(image(root, *chosen.image) + "\n")
        platform = next(one.spec for one in load(root).of_kind(Platform) if isinstance(one.spec, AwsPlatform))
        region = str(platform.region)
        store = Aws({"region": region, "assumeRoles": [{"roleArn": str(platform.role)}]})("s3")
        upload(root, store, region)
        if chosen.spoil:
            sys.stdout.write(spoil(root, store, chosen.spoil) + "\n")
        return 0
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with Lab(root, chosen.port, chosen.patience) as lab:
        lines = [*(f"# {line}" for line in lab.said), "# a test double, not AWS; in the shell that plans and applies:"]
        lines.append(told(lab))
        if chosen.plugins is not None:
            from tests.plugins.aws.stand_in import install

            plugins = install(chosen.plugins.resolve())
            _install(plugins)
            lines.append(f'export PATH="{plugins}:{Path(sys.executable).parent}:$PATH"')
        lines.append(f"# what instances wrote: {lab.folder}/members")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        stopping.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
