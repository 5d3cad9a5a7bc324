"""RFC 9421 with ML-DSA, RFC 9530 digests, structured fields, signed API requests."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.algorithms import HTTP_SIGNATURE_NAMES
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey, generate
from qnsp_policy.kernel.wire import api_auth, content_digest, rfc9421, structured
from qnsp_policy.kernel.wire.rfc9421 import Request, Response
from qnsp_policy.kernel.wire.structured import InnerList, Item, Token

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "pqc" / "c2sp-httpsig-pq.json").read_text())["vectors"]
KEY = generate("ML-DSA-65")
KEYS = {KEY.key_id: KEY.public}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_c2sp_vectors(vector: dict[str, Any]) -> None:
    """The published base is rebuilt to the byte, the seed gives the key, the signature verifies."""
    name = HTTP_SIGNATURE_NAMES[vector["algorithm"]]
    public = PublicKey(name, base64.b64decode(vector["public_key_base64"]))
    assert PrivateKey(name, bytes.fromhex(vector["private_key_seed_hex"])).public == public
    value = vector["serialized_signature_input"].removeprefix("Signature-Input: ")
    request = Request(
        "GET",
        "https://example.com/foo?param=Value&Pet=dog",
        (
            ("Host", "example.com"),
            ("Date", "Mon, 06 Jul 2026 20:00:00 GMT"),
            ("Signature-Input", value),
            ("Signature", f"sig1=:{vector['deterministic_signature_base64']}:"),
        ),
    )
    covered = structured.parse_dictionary(value)["sig1"]
    assert isinstance(covered, InnerList)
    base = rfc9421.signature_base(request, covered)
    assert base == base64.b64decode(vector["signature_base_base64"])
    assert (len(base), hashlib.sha256(base).hexdigest()) == (
        vector["signature_base_length"],
        vector["signature_base_sha256"],
    )
    found = rfc9421.verify(
        request,
        {str(covered.parameters["keyid"]): public},
        required=["@method", "@target-uri", "host", "date"],
        now=datetime.fromtimestamp(1783368060, UTC),
        max_age=timedelta(minutes=5),
        label="sig1",
    )
    assert found.key == public


def test_rfc9421_request_components() -> None:
    """The derived components of RFC 9421 section 2.2 on its example request."""
    request = Request("POST", "https://www.example.com/path?param=value", (("Host", "www.example.com"),))
    wanted = {
        "@method": "POST",
        "@target-uri": "https://www.example.com/path?param=value",
        "@authority": "www.example.com",
        "@scheme": "https",
        "@request-target": "/path?param=value",
        "@path": "/path",
        "@query": "?param=value",
        '@query-param;name="param"': "value",
    }
    covered = InnerList(tuple(rfc9421.component(name) for name in wanted))
    lines = rfc9421.signature_base(request, covered).decode().split("\n")
    assert [line.partition(": ")[2] for line in lines[:-1]] == list(wanted.values())


@pytest.mark.parametrize(
    ("url", "component", "value"),
    [
        ("https://EXAMPLE.com:443/", "@authority", "example.com"),
        ("http://example.com:80", "@authority", "example.com"),
        ("http://example.com:8080", "@authority", "example.com:8080"),
        ("https://[::1]:8443/", "@authority", "[::1]:8443"),
        ("https://example.com", "@path", "/"),
        ("https://example.com/x", "@query", "?"),
        ("https://example.com/x?", "@query", "?"),
        ("https://example.com/a%2Fb", "@path", "/a%2Fb"),
    ],
)
def test_authority_path_and_query_are_normalised(url: str, component: str, value: str) -> None:
    """Default ports are left out, hosts are lower-case, an absent query reads as `?`."""
    base = rfc9421.signature_base(Request("GET", url), InnerList((rfc9421.component(component),)))
    assert base.decode().split("\n")[0] == f'"{component}": {value}'


REQUEST = Request(
    "POST", "https://endpoint.example:8443/v1/embeddings", (("Content-Digest", content_digest.content_digest(b"in")),)
)
COVERED = ("@status", "content-digest", "content-digest;req", "@method;req", "@target-uri;req", "qnsp-model")
PLAIN_HEADERS = {"Content-Digest": content_digest.content_digest(b"out"), "Qnsp-Model": "sha256:aa"}


def signed(key: PrivateKey = KEY, created: datetime = NOW, **options: Any) -> Response:
    plain = Response(200, tuple(PLAIN_HEADERS.items()), REQUEST)
    headers = {**PLAIN_HEADERS, **rfc9421.sign(plain, COVERED, key, created=created, nonce="n-1", **options)}
    return Response(200, tuple(headers.items()), REQUEST)


def check(response: Response, keys: Mapping[str, PublicKey] | None = None, **options: Any) -> rfc9421.VerifiedMessage:
    arguments: dict[str, Any] = {"required": COVERED, "now": NOW, "max_age": DAY, **options}
    return rfc9421.verify(response, KEYS if keys is None else keys, **arguments)


def test_a_signed_answer_is_bound_to_its_request() -> None:
    """Status, body, model and the request's parts are covered, and told."""
    found = check(signed())
    assert (found.nonce, found.created, found.key) == ("n-1", NOW, KEY.public)
    assert '"@target-uri";req' in found.covered


def changed(**headers: str) -> Response:
    response = signed()
    return Response(200, tuple({**dict(response.headers), **headers}.items()), REQUEST)


def with_parameter(old: str, new: str) -> Response:
    return changed(**{"Signature-Input": dict(signed().headers)["Signature-Input"].replace(old, new)})


ALTERED: dict[str, tuple[Response, str]] = {
    "another status": (Response(201, signed().headers, REQUEST), "001"),
    "another request": (
        Response(200, signed().headers, Request("POST", "https://other.example/", REQUEST.headers)),
        "001",
    ),
    "another method": (Response(200, signed().headers, Request("GET", REQUEST.url, REQUEST.headers)), "001"),
    "another model": (changed(**{"Qnsp-Model": "sha256:bb"}), "001"),
    "header gone": (Response(200, tuple((n, v) for n, v in signed().headers if n != "Qnsp-Model"), REQUEST), "023"),
    "no signature": (Response(200, tuple(PLAIN_HEADERS.items()), REQUEST), "024"),
    "another label": (changed(**{"Signature-Input": "other=()"}), "024"),
    "input no list": (changed(**{"Signature-Input": "qnsp=1"}), "023"),
    "signature no bytes": (changed(Signature="qnsp=1"), "023"),
    "unknown parameter": (with_parameter(";created", ";other;created"), "023"),
    "no created": (with_parameter(f";created={int(NOW.timestamp())}", ""), "023"),
    "created no number": (with_parameter(f";created={int(NOW.timestamp())}", ';created="x"'), "023"),
    "alg of another": (with_parameter('alg="ml-dsa-65"', 'alg="ml-dsa-87"'), "026"),
    "alg in capitals": (with_parameter('alg="ml-dsa-65"', 'alg="ML-DSA-65"'), "026"),
    "component doubled": (with_parameter('("@status"', '("@status" "@status"'), "023"),
    "component left out": (with_parameter(' "qnsp-model"', ""), "023"),
    "bytes form": (with_parameter('"qnsp-model"', '"qnsp-model";bs'), "023"),
    "too many": (with_parameter('("@status"', "(" + '"a" ' * 65 + '"@status"'), "023"),
    "garbage": (changed(**{"Signature-Input": "qnsp=("}), "020"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_answers_are_refused(name: str) -> None:
    """One good answer, one named change, one code."""
    response, code = ALTERED[name]
    with pytest.raises(PeerError, match=f"QNSP-SIG-{code}"):
        check(response)


def test_an_absent_alg_is_the_keys() -> None:
    """`alg` may be left out, but it was signed: leaving it out later is noticed; the key alone decides."""
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        check(with_parameter(';alg="ml-dsa-65"', ""))


def test_times() -> None:
    """Too old, from the future, expired; evidence that is looked at later has no age but is never from the future."""
    for created in (NOW - DAY - timedelta(minutes=2), NOW + timedelta(minutes=2)):
        with pytest.raises(PeerError, match="QNSP-SIG-027"):
            check(signed(created=created))
    with pytest.raises(PeerError, match="QNSP-SIG-027"):
        check(signed(expires=NOW - timedelta(seconds=1)))
    assert check(signed(created=NOW - 900 * DAY), max_age=None)
    with pytest.raises(PeerError, match="QNSP-SIG-027"):
        check(signed(created=NOW + DAY), max_age=None)


def test_keys_and_tags() -> None:
    """An unknown key, a key of no use here, and a signature for another purpose are refused."""
    with pytest.raises(PeerError, match="QNSP-SIG-025"):
        check(signed(), {})
    with pytest.raises(PeerError, match="QNSP-SIG-026"):
        check(signed(), {KEY.key_id: generate("X-Wing").public})
    with pytest.raises(PeerError, match="QNSP-SIG-001"):
        check(signed(), {KEY.key_id: generate("ML-DSA-65").public})
    with pytest.raises(PeerError, match="QNSP-SIG-023"):
        check(signed(), tag="qnsp-api")
    with pytest.raises(ValueError, match="no name"):
        signed(generate("X-Wing"))


@pytest.mark.parametrize("name", ["ML-DSA-44", "ML-DSA-87", "Ed25519", "ECDSA-P256", "ECDSA-P384"])
def test_other_algorithms(name: str) -> None:
    """Every signature algorithm with a registered name works the same."""
    key = generate(name)
    assert check(signed(key), {key.key_id: key.public}).key == key.public


def test_two_labels_are_two_signatures() -> None:
    """A message may carry several; each is verified by its label, none stands for the other."""
    first, second = signed(), signed(generate("Ed25519"), label="classic")
    both = [(name, value) for name, value in (*first.headers, *second.headers) if name.startswith("Signature")]
    merged = Response(200, (*PLAIN_HEADERS.items(), *both), REQUEST)
    assert check(merged).label == "qnsp"
    with pytest.raises(PeerError, match="QNSP-SIG-025"):
        check(merged, label="classic")


# Content-Digest


def test_content_digest_of_the_standard() -> None:
    """RFC 9530 appendix: the digest of a JSON body."""
    assert content_digest.content_digest(b'{"hello": "world"}') == (
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    )


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (content_digest.content_digest(b"other"), "021"),
        (content_digest.content_digest(b"body") + ", sha-512=:AAAA:", "021"),
        ("md5=:AAAA:", "022"),
        ("", "022"),
        ("sha-256=1", "022"),
        ("sha-256=:?:", "020"),
    ],
)
def test_wrong_digests(header: str, code: str) -> None:
    """Every digest that is known must fit; one that is not known is no digest."""
    with pytest.raises(PeerError, match=f"QNSP-SIG-{code}"):
        content_digest.verify_content_digest(header, b"body")


def test_right_digests() -> None:
    """Two digests of one body, beside one nobody knows."""
    sha512 = base64.b64encode(hashlib.sha512(b"body").digest()).decode()
    content_digest.verify_content_digest(
        f"{content_digest.content_digest(b'body')}, sha-512=:{sha512}:, crc=:AAAA:", b"body"
    )


# Structured fields


@given(st.text(max_size=60))
def test_any_field_raises_only_our_error(text: str) -> None:
    """Whatever a header holds; and what is read is written canonically and read back the same."""
    try:
        found = structured.parse_dictionary(text)
    except PeerError as error:
        assert error.code == "QNSP-SIG-020"  # noqa: PT017  either outcome is right
    else:
        assert structured.parse_dictionary(structured.write_dictionary(found)) == found


def test_structured_fields_keep_types_apart() -> None:
    """A token is no string, a boolean no number."""
    text = 'a=1, b=tok, c="x\\"y", d=:AQI=:, e, f=?0, g=(1 "x";p);q=t'
    found = structured.parse_dictionary(text)
    assert isinstance(found["b"], Item)
    assert isinstance(found["b"].value, Token)
    assert found["e"] == Item(True)
    assert structured.write_dictionary(found) == text.replace("e,", "e=?1,")
    for bad in ("a=1,", "a=1 b", "A=1", "a=(1 2", 'a="\u00e9"', "a=1.5", "a=?2", 'a=("x""y")', "a=-", "a" * 70000):
        with pytest.raises(PeerError, match="QNSP-SIG-020"):
            structured.parse_dictionary(bad)


# API requests

URL = "https://broker.example:8555/qnsp/v1/admin/objects?x=1"


def api(body: bytes = b"{}", now: datetime = NOW, nonce: str | None = None) -> Request:
    return Request("PUT", URL, tuple(api_auth.sign_request("PUT", URL, body, KEY, now, nonce=nonce).items()))


def test_a_signed_request_is_taken_once() -> None:
    """The same request a second time is refused."""
    nonces, request = api_auth.MemoryNonces(), api()
    assert api_auth.verify_request(request, b"{}", KEYS, nonces, NOW).key == KEY.public
    with pytest.raises(PeerError, match="QNSP-SIG-041"):
        api_auth.verify_request(request, b"{}", KEYS, nonces, NOW)


@pytest.mark.parametrize(
    ("request_", "body", "when", "code"),
    [
        (api(), b"{ }", NOW, "021"),
        (Request("PUT", URL), b"{}", NOW, "040"),
        (Request("DELETE", URL, api().headers), b"{}", NOW, "001"),
        (Request("PUT", URL + "2", api().headers), b"{}", NOW, "001"),
        (Request("PUT", URL.replace("broker", "other"), api().headers), b"{}", NOW, "001"),
        (api(), b"{}", NOW + timedelta(minutes=7), "027"),
        (api(), b"{}", NOW - timedelta(minutes=7), "027"),
        (api(nonce="short"), b"{}", NOW, "040"),
        (api(nonce="x" * 200), b"{}", NOW, "040"),
    ],
)
def test_altered_requests(request_: Request, body: bytes, when: datetime, code: str) -> None:
    """Another body, method, target, host, an old one, a bad nonce: each its own code."""
    with pytest.raises(PeerError, match=f"QNSP-SIG-{code}"):
        api_auth.verify_request(request_, body, KEYS, api_auth.MemoryNonces(), when)


def test_a_full_store_of_nonces_refuses() -> None:
    """Live nonces are never forgotten to make room; expired ones are."""
    nonces = api_auth.MemoryNonces(limit=2)
    until = NOW + timedelta(minutes=5)
    assert nonces.use("k", "1", until, NOW)
    assert nonces.use("k", "2", until, NOW)
    assert not nonces.use("k", "3", until, NOW)
    assert nonces.use("k", "3", until + DAY, until + timedelta(seconds=1))
