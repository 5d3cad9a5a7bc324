"""The table of commands: name, file, one line of help. `--help` prints it without importing any command.

A test holds each line against the command's own docstring.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One command.

    Attributes:
        name: what the user types.
        module: file under `cli/commands/`.
        help: one line, as in the command's docstring.
        group: whether it has sub-commands of its own.
    """

    name: str
    module: str
    help: str
    group: bool = False


SECTIONS: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    (
        "Write and review",
        (
            Entry("init", "init", "Make a workspace, or adopt a cloned one."),
            Entry("validate", "validate", "Hold the documents against schema and references."),
            Entry("fmt", "fmt", "Bring the documents into their one layout."),
            Entry("check", "check", "Hold the documents against the rules."),
            Entry("policy", "policy", "List, explain and test rules.", group=True),
            Entry("trust", "trust", "Who may get which key, and what a change does to it.", group=True),
            Entry(
                "explain",
                "explain",
                "All that is known of a document, or the page of a rule.",
            ),
            Entry("graph", "graph", "The units and grants as a drawing."),
            Entry("schema", "schema", "The JSON Schema of the documents, for editors.", group=True),
        ),
    ),
    (
        "Plan and apply",
        (
            Entry("plan", "plan", "What would change: infrastructure and trust in one view."),
            Entry("show", "show", "Print a saved plan."),
            Entry("approve", "approve", "Sign a saved plan as approver."),
            Entry("apply", "apply", "Do what a signed and approved plan says, nothing else."),
            Entry("destroy", "destroy", "Plan, sign and apply the end of every unit."),
            Entry("refresh", "refresh", "Write what the world says into the recorded state."),
            Entry(
                "import",
                "import_",
                "Record a resource that exists; changes nothing in the world.",
            ),
            Entry("drift", "drift", "Compare the running world with what was applied."),
            Entry("state", "state", "What was applied, unit by unit.", group=True),
            Entry("lock", "lock", "Who holds the workspace.", group=True),
        ),
    ),
    (
        "Use and prove",
        (
            Entry("call", "call", "Ask an endpoint and verify its signed answer."),
            Entry("connect", "connect", "Serve an endpoint on loopback for plain clients such as curl."),
            Entry("verify-response", "verify_response", "Verify a saved answer offline."),
            Entry("ledger", "ledger", "Read and prove the record of what happened.", group=True),
            Entry("attest", "attest", "Look into evidence and verify it offline.", group=True),
            Entry("image", "image", "Build enclave images, measure them, look into them.", group=True),
        ),
    ),
    (
        "Keys",
        (
            Entry("key", "key", "Make and list signing keys.", group=True),
            Entry("artefact", "artefact", "Seal models and data for a tenant.", group=True),
            Entry("sign", "sign", "Sign documents of a file with your key."),
        ),
    ),
    (
        "This installation",
        (
            Entry("doctor", "doctor", "What is found on this machine and what is missing."),
            Entry("tools", "tools", "Build and list the pinned programs that we run.", group=True),
            Entry("version", "version", "Versions of the program, the engine and the rules."),
        ),
    ),
)

ENTRIES: dict[str, Entry] = {entry.name: entry for _, entries in SECTIONS for entry in entries}

__all__ = ["ENTRIES", "SECTIONS", "Entry"]
