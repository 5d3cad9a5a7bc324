"""Several members behind one address: each connection is judged by itself, each answer by the member that gave it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from qnsp_policy.client.answer import SavedAnswer, parse_answer
from qnsp_policy.client.local_edge import local_app
from qnsp_policy.client.transport_edge import OpenEndpoint, open_endpoint
from qnsp_policy.client.verify import verify_answer
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.wire.endpoint import evidence_digest
from qnsp_policy.services.gateway.configuration import GatewaySettings
from qnsp_policy.simulator.snp import make_chip, mint_pki
from qnsp_policy.testing.balancer import Balancer, ServedGateway
from qnsp_policy.testing.gateway import GatewayWorld
from qnsp_policy.testing.http import sync_client
from qnsp_policy.testing.listening import answering
from qnsp_policy.testing.services import START, SimulatedMember

QUESTION = {"model": "tiny", "input": "chest pain"}
EVIDENCE = "GET /.well-known/qnsp/evidence"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Two members of one endpoint, and what leads to them."""

    folder: Path
    hardware: SimulatedMember
    api_key: PrivateKey
    members: tuple[ServedGateway, ServedGateway]
    balancer: Balancer

    def world(self, name: str, hardware: SimulatedMember | None = None) -> GatewayWorld:
        """Another gateway of this endpoint, or whose code is another."""
        return GatewayWorld(self.folder / name, hardware or self.hardware, api_key=self.api_key)

    def open(self, **changes: Any) -> OpenEndpoint:
        """The endpoint as a relying party opens it."""
        world = self.members[0].world
        return open_endpoint(
            self.balancer.url,
            world.trust(**changes),
            api_key=self.api_key,
            allow_simulated=True,
            clock=world.clock,
        )

    def offline(self, answer: SavedAnswer) -> dict[str, str]:
        """What a saved answer proves elsewhere."""
        found = verify_answer(
            parse_answer(answer.to_bytes()), self.members[0].world.trust(), now=START, allow_simulated=True
        )
        return {statement.name: str(statement.verdict) for statement in found.statements}


@pytest.fixture(scope="module")
def hardware() -> SimulatedMember:
    return SimulatedMember(make_chip(mint_pki("Milan", START, key_size=4096), START))


@pytest.fixture
def fleet(tmp_path: Path, hardware: SimulatedMember) -> Iterator[Fleet]:
    api_key = generate("ML-DSA-65")
    first, second = (
        ServedGateway(GatewayWorld(tmp_path / name, hardware, api_key=api_key)) for name in ("first", "second")
    )
    with first.listening(), second.listening(), Balancer(first.port, second.port) as balancer:
        yield Fleet(tmp_path, hardware, api_key, (first, second), balancer)


def test_every_answer_is_held_against_the_member_that_gave_it(fleet: Fleet) -> None:
    """Four connections in turn: two members, each asked once for its evidence, and four answers that prove themselves elsewhere."""
    kept: list[SavedAnswer] = []
    endpoint = fleet.open()
    with endpoint.client(lambda answer, _: kept.append(answer)) as http:
        for _ in range(4):
            assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
            fleet.balancer.cut()
    assert [member.questions for member in fleet.members] == [2, 2]
    assert [member.asked.count(EVIDENCE) for member in fleet.members] == [1, 1]
    assert [evidence_digest(answer.evidence or {}) for answer in kept] == [
        answer.header("qnsp-evidence") for answer in kept
    ]
    assert len({answer.header("qnsp-evidence") for answer in kept}) == 2
    for answer in kept:
        assert fleet.offline(answer)["request"] == "ok"


def test_one_connection_is_enough(fleet: Fleet) -> None:
    """Evidence, question and receipt over one TLS handshake."""
    kept: list[SavedAnswer] = []
    endpoint = fleet.open()
    with endpoint.client(lambda answer, _: kept.append(answer)) as http:
        http.post("/v1/embeddings", json=QUESTION)
        assert endpoint.fetch_receipt(kept[0]).receipt is not None
    assert fleet.balancer.taken == 1


def test_a_receipt_comes_from_the_log_of_the_member_that_answered(fleet: Fleet) -> None:
    """Where the next connection leads to the other member, another one is tried; what is fetched proves itself."""
    kept: list[SavedAnswer] = []
    endpoint = fleet.open()
    with endpoint.client(lambda answer, _: kept.append(answer)) as http:
        http.post("/v1/embeddings", json=QUESTION)
    answer = endpoint.fetch_receipt(kept[0])
    assert fleet.balancer.taken == 3
    assert fleet.offline(answer)["receipt"] == "ok"


def test_a_receipt_is_not_waited_for_forever(fleet: Fleet) -> None:
    """The member that answered is gone: its answer is kept without a receipt, which is then said to be unchecked."""
    kept: list[SavedAnswer] = []
    endpoint = fleet.open()
    with endpoint.client(lambda answer, _: kept.append(answer)) as http:
        http.post("/v1/embeddings", json=QUESTION)
    fleet.balancer.targets = [fleet.members[1].port]
    assert endpoint.fetch_receipt(kept[0]).receipt is None
    assert fleet.balancer.taken == 13


def _impostor_of_other_code(fleet: Fleet) -> tuple[GatewayWorld, GatewaySettings]:
    world = fleet.world("impostor", replace(fleet.hardware, measurement=b"\x99" * 48))
    return world, world.settings()


def _impostor_with_unbound_keys(fleet: Fleet) -> tuple[GatewayWorld, GatewaySettings]:
    world = fleet.world("impostor")
    settings, good = world.settings(), fleet.members[0].world.settings()
    runtime: Any = settings.evidence["runtimeData"]
    document = {**good.evidence, "runtimeData": {**runtime}}
    return world, replace(settings, evidence=document, evidence_digest=evidence_digest(document))


def _impostor_that_relays(fleet: Fleet) -> tuple[GatewayWorld, GatewaySettings]:
    """Between client and member: TLS of its own, the member's evidence as it is."""
    world, good = fleet.world("impostor"), fleet.members[0].world.settings()
    return world, replace(world.settings(), evidence=good.evidence, evidence_digest=good.evidence_digest)


IMPOSTORS = {
    "QNSP-GWY-051": _impostor_of_other_code,
    "QNSP-GWY-053": _impostor_with_unbound_keys,
    "QNSP-GWY-021": _impostor_that_relays,
}


@pytest.mark.parametrize("code", IMPOSTORS)
def test_an_impostor_in_between_is_refused_and_sent_nothing(fleet: Fleet, code: str) -> None:
    """The second connection of an open client leads to somebody else: his evidence is asked, and nothing of the caller's is said."""
    world, settings = IMPOSTORS[code](fleet)
    impostor = ServedGateway(world)
    endpoint = fleet.open()
    with impostor.listening(settings), endpoint.client() as http:
        assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
        fleet.balancer.cut()
        fleet.balancer.targets = [impostor.port]
        with pytest.raises(PeerError) as refused:
            http.post("/v1/embeddings", json=QUESTION)
        assert refused.value.code == code
        fleet.balancer.targets = [fleet.members[1].port]
        assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
    assert impostor.asked == [EVIDENCE]
    assert fleet.members[1].questions == 1


def test_an_impostor_at_the_first_connection_is_refused(fleet: Fleet) -> None:
    """`open_endpoint` itself says so."""
    world, settings = _impostor_that_relays(fleet)
    impostor = ServedGateway(world)
    with impostor.listening(settings):
        fleet.balancer.targets = [impostor.port]
        with pytest.raises(PeerError, match="somebody stands between"):
            fleet.open()


def test_a_member_that_dies_between_requests(fleet: Fleet) -> None:
    """Its idle connection ended, and its port is closed: the other member answers."""
    first, second = fleet.members
    dying = ServedGateway(fleet.world("dying"))
    with contextlib.ExitStack() as life:
        life.enter_context(dying.listening())
        fleet.balancer.targets = [dying.port]
        with fleet.open().client() as http:
            assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
            life.close()
            fleet.balancer.cut()
            nobody = life.enter_context(socket.socket())
            nobody.bind(("127.0.0.1", 0))
            fleet.balancer.targets, fleet.balancer.taken = [second.port, nobody.getsockname()[1]], 1
            assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
    assert (first.questions, second.questions, dying.questions) == (0, 1, 1)


def test_a_member_that_dies_before_it_answers(fleet: Fleet) -> None:
    """It read the request, then its connection ended: the request is asked once more, signed anew, and no third time."""
    first, second = fleet.members
    for member in fleet.members:
        member.before = fleet.balancer.cut
    with fleet.open().client() as http, pytest.raises(httpx.TransportError):
        http.post("/v1/embeddings", json=QUESTION)
    assert (first.questions, second.questions) == (1, 1)
    second.before = lambda: None
    fleet.balancer.taken = 0
    with fleet.open().client() as http:
        assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
    assert (first.questions, second.questions) == (2, 2)


def test_what_may_keep_state_is_not_asked_twice(fleet: Fleet) -> None:
    """`/v1/responses` may leave something behind at the first member."""
    for member in fleet.members:
        member.before = fleet.balancer.cut
    with fleet.open().client() as http, pytest.raises(httpx.TransportError):
        http.post("/v1/responses", json=QUESTION)
    assert [member.questions for member in fleet.members] == [1, 0]


def test_a_member_that_hangs_up_in_its_handshake(fleet: Fleet) -> None:
    """One more connection, then a plain word that nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener, answering(listener, lambda stream: stream.recv(1)):
        port = listener.getsockname()[1]
        fleet.balancer.targets = [port, fleet.members[0].port]
        endpoint = fleet.open()
        endpoint.close()
        fleet.balancer.targets = [port]
        with pytest.raises(ConnectionError, match="does not answer"):
            fleet.open()


def test_a_member_that_ends_the_connection_over_which_it_showed_its_evidence(fleet: Fleet) -> None:
    """It is known by then: the request goes over another connection."""
    first, _ = fleet.members
    first.ends, fleet.balancer.targets = True, [first.port]
    with fleet.open().client() as http:
        assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
    assert (fleet.balancer.taken, first.asked.count(EVIDENCE)) == (2, 1)


def test_the_asynchronous_client_meets_both(fleet: Fleet) -> None:
    """Ten questions at once over as many connections, led in turn."""
    endpoint = fleet.open()

    async def ask() -> list[int]:
        async with endpoint.async_client() as http:
            answers = await asyncio.gather(*(http.post("/v1/embeddings", json=QUESTION) for _ in range(10)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200] * 10
    assert sum(member.questions for member in fleet.members) == 10


def test_demanded_receipts_of_many_threads_at_once(fleet: Fleet) -> None:
    """Connections to both members lie idle side by side; every receipt is of the right log."""
    endpoint = fleet.open(receipts=True)
    said: list[str] = []

    def ask() -> None:
        answer = http.post("/v1/embeddings", json=QUESTION)
        words = {one.name: str(one.verdict) for one in answer.extensions["qnsp.verified"].statements}
        said.append(words["receipt"])

    with endpoint.client() as http:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert said == ["ok"] * 8


def test_the_door_hands_out_what_proves_its_answers(fleet: Fleet) -> None:
    """`connect`: evidence and receipt of the member that answered, whichever the next connection would meet."""
    with fleet.open().client() as behind:
        plain = sync_client(local_app(behind), "http://127.0.0.1:8080")
        answers = []
        for _ in range(2):
            answers.append(plain.post("/v1/embeddings", json=QUESTION))
            fleet.balancer.cut()
        assert len({answer.headers["qnsp-evidence"] for answer in answers}) == 2
        for answer in answers:
            named = answer.headers["qnsp-evidence"]
            evidence = plain.get("/.well-known/qnsp/evidence", params={"of": named}).json()
            receipt = plain.get(f"/.well-known/qnsp/receipt/{answer.headers['qnsp-receipt']}").json()
            headers = tuple((name.lower(), value) for name, value in answer.headers.items())
            saved = SavedAnswer(200, headers, answer.content, None, evidence, receipt)
            assert fleet.offline(saved)["receipt"] == "ok"
        newest = plain.get("/.well-known/qnsp/evidence").json()
        assert evidence_digest(newest) == answers[-1].headers["qnsp-evidence"]
        assert plain.get(f"/.well-known/qnsp/receipt/{'0' * 32}").status_code == 404


def test_plain_http_on_loopback_is_judged_too(fleet: Fleet) -> None:
    """Without TLS there is no key to remember: every connection shows its evidence first."""
    worlds = [fleet.world(name) for name in ("plain", "clear")]
    gateways = [ServedGateway(world) for world in worlds]
    with contextlib.ExitStack() as stack:
        for gateway in gateways:
            stack.enter_context(gateway.listening(tls=False))
        balancer = stack.enter_context(Balancer(*(gateway.port for gateway in gateways)))
        url = balancer.url.replace("https", "http")
        clock = worlds[0].clock
        endpoint = open_endpoint(url, worlds[0].trust(), api_key=fleet.api_key, allow_simulated=True, clock=clock)
        with endpoint.client() as http:
            for _ in range(3):
                assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
                balancer.cut()
    assert [gateway.questions for gateway in gateways] == [2, 1]
    assert [gateway.asked.count(EVIDENCE) for gateway in gateways] == [2, 1]


def test_evidence_is_not_believed_forever(fleet: Fleet) -> None:
    """An hour later a new connection is asked again."""
    fleet.balancer.targets = [fleet.members[0].port]
    with fleet.open().client() as http:
        http.post("/v1/embeddings", json=QUESTION)
        for member in fleet.members:
            member.world.clock.forward(seconds=timedelta(hours=1).total_seconds())
        fleet.balancer.cut()
        assert http.post("/v1/embeddings", json=QUESTION).status_code == 200
    assert fleet.members[0].asked.count(EVIDENCE) == 2


def test_a_request_to_elsewhere_is_not_sent(fleet: Fleet) -> None:
    """The client signs with the tenant's key: what it signs goes to this endpoint only."""
    with fleet.open().client() as http, pytest.raises(httpx.UnsupportedProtocol, match="talks to"):
        http.post(f"https://127.0.0.1:{fleet.members[0].port}/v1/embeddings", json=QUESTION)
