"""The third section of a plan: what could not be had back afterwards.

A broker's copy of a sealed key is withdrawn when its object goes; the key is destroyed when nothing in the documents names its
sealed file any more. The same goes for keys of KMS and for buckets that keep evidence. Destroying is refused unless the plan was asked for it by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.trust.objects import unit_objects

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Loss:
    """What becomes of one key, store or bucket.

    Attributes:
        subject: the resource, the bucket, or the broker whose store it is.
        effect: `destroys`, `replaces` (another envelope under the same name), `withdraws` (the sealed file stays) or `empties` (a
            broker whose new members begin without the store of the old ones).
        artefacts: names of what it opens.
        text: in one line.
    """

    subject: str
    effect: str
    artefacts: tuple[str, ...]
    text: str

    def to_json(self) -> Json:
        return {
            "subject": self.subject,
            "effect": self.effect,
            "artefacts": list(self.artefacts),
            "text": self.text,
        }


def losses(
    before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]], *, named: Collection[str]
) -> tuple[Loss, ...]:
    """What is lost between the inputs of all recorded units and those that remain.

    Args:
        before: inputs of recorded units.
        after: inputs of units as they will be.
        named: paths of sealed key files that the documents still name.
    """
    before, after = list(before), list(after)
    old, new = _keys(before), _keys(after)
    found: list[Loss] = [*_kms_losses(before, after), *_evidence_losses(before, after), *_emptied(before, after)]
    for (broker, resource), entry in sorted(old.items()):
        artefacts, source = tuple(entry.get("unlocks", ())), str(entry.get("source", ""))
        kept = new.get((broker, resource))
        if kept is not None:
            if kept["digest"] != entry["digest"]:
                was, now = entry["object"].get("version"), kept["object"].get("version")
                text = f"key {resource} at {broker}: version {was} -> {now}; files sealed under version {was} need it"
                found.append(Loss(resource, "replaces", artefacts, text))
        elif source and source in named:
            text = f"{broker} no longer holds {resource}; its sealed copy {source} remains"
            found.append(Loss(resource, "withdraws", artefacts, text))
        else:
            count = f"{len(artefacts)} artefact{'s' if len(artefacts) != 1 else ''} unreadable for ever"
            names = f" ({', '.join(artefacts)})" if artefacts else ""
            found.append(Loss(resource, "destroys", artefacts, f"key {resource}: {count}{names}"))
    return tuple(found)


def _keys(units: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {
        (broker, str(entry["name"])): entry
        for inputs in units
        for broker, _, entry in unit_objects(inputs)
        if entry["kind"] == "resource"
    }


def _kms_losses(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> Iterable[Loss]:
    """Keys of KMS that go: nobody holds a copy of their material, so after the waiting period it is gone for ever."""
    kept = {key["name"] for inputs in after for key in inputs.get("keys", ())}
    for inputs in before:
        for key in inputs.get("keys", ()):
            if key["name"] not in kept:
                artefacts = tuple(key.get("unlocks", ()))
                text = f"KMS key {key['name']}: whatever was encrypted under it, {key['deletionDays']} days from now"
                yield Loss(str(key["resource"]), "destroys", artefacts, text)


def _emptied(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> Iterable[Loss]:
    """Brokers whose members are replaced, and their store with them."""
    ran = {inputs["broker"]["address"]: inputs for inputs in before if "fleet" in inputs and "broker" in inputs}
    for inputs in after:
        if "fleet" not in inputs or "broker" not in inputs or inputs.get("sharedStore"):
            continue
        address = str(inputs["broker"]["address"])
        if address in ran and ran[address]["fleet"] != inputs["fleet"]:
            text = (
                f"{address} begins with an empty store: sessions, revocations that no document holds and what was not yet told of its ledger "
                "go with its old members; everything that documents name is handed over again"
            )
            yield Loss(address, "empties", (), text)


def _evidence_losses(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> Iterable[Loss]:
    """Buckets of evidence and trails that go: AWS deletes none that holds anything, so what they hold must go before."""
    stores = {"evidence": "evidence", "trail": "trail of calls"}
    kept = {inputs[member]["bucket"] for inputs in after for member in stores if member in inputs}
    for inputs in before:
        for member, what in stores.items():
            if member in inputs and (bucket := inputs[member]["bucket"]) not in kept:
                text = f"bucket {bucket}: its {what}, which AWS lets go only once the bucket is empty"
                yield Loss(str(bucket), "destroys", (), text)


def refuse_unnamed(found: Iterable[Loss], allowed: Collection[str]) -> None:
    """Refuse to destroy what was not named.

    Raises:
        OperatorError: QNSP-PLN-022 with everything that would be destroyed.
    """
    destroyed = [loss for loss in found if loss.effect == "destroys" and loss.subject not in allowed]
    if destroyed:
        raise OperatorError(
            "QNSP-PLN-022",
            "the plan would destroy what is protected: " + "; ".join(loss.text for loss in destroyed),
            subject=destroyed[0].subject,
            next_step="keep what needs it, or name it: "
            + " ".join(f"--destroy-key {loss.subject}" for loss in destroyed),
        )


__all__ = ["Loss", "losses", "refuse_unnamed"]
