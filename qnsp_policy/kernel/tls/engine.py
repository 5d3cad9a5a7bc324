"""One TLS connection without a socket: bytes in, bytes out; used by the server and the clients of this folder.

Comes in: what the network gave. Goes out: what the network shall get, plaintext, and a `Handshake` that says what was
measured. OpenSSL 4 through pyOpenSSL; TLS 1.3, where X25519MLKEM768 is the first group offered and taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey

PQ_GROUPS: Final = frozenset({"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "X448MLKEM1024"})
"""Hybrid groups: a recorded connection stays closed even to a later quantum computer."""

_CHUNK: Final = 64 * 1024
_MAX_CONTEXT_CERTS: Final = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a handshake negotiated, measured, not configured.

    Attributes:
        version: "TLSv1.3".
        group: key exchange group, e.g. "X25519MLKEM768"; "" if unknown.
        cipher: e.g. "TLS_AES_256_GCM_SHA384".
        certificates: DER of the peer's chain, leaf first; empty on the server side.
    """

    version: str
    group: str
    cipher: str
    certificates: tuple[bytes, ...] = ()

    @property
    def post_quantum(self) -> bool:
        """True for a hybrid group with ML-KEM."""
        return self.group in PQ_GROUPS


def _new_context(minimum: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(minimum)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_tls13_ciphersuites(b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")
    return context


def server_context(key: PrivateKey, chain: tuple[bytes, ...], *, minimum: str = "1.3") -> SSL.Context:
    """A server context; HTTP/1.1 is the only protocol agreed on.

    Args:
        key: private key of the first certificate.
        chain: DER, leaf first.
        minimum: "1.3", or "1.2" for clients that know no better.

    Raises:
        ValueError: key and certificate do not belong together.
    """
    context = _new_context(SSL.TLS1_3_VERSION if minimum == "1.3" else SSL.TLS1_2_VERSION)
    try:
        leaf, *extra = (x509.load_der_x509_certificate(der) for der in chain[:_MAX_CONTEXT_CERTS])
        context.use_certificate(leaf)
        for certificate in extra:
            context.add_extra_chain_cert(certificate)
        _use_key(context, key)
        context.check_privatekey()
    except (SSL.Error, crypto.Error, ValueError):
        raise ValueError("the TLS key does not belong to its certificate") from None
    context.set_alpn_select_callback(
        lambda _, offered: b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS
    )
    return context


def _use_key(context: SSL.Context, key: PrivateKey) -> None:
    """A key object of ML-DSA is refused by `use_privatekey`; one that OpenSSL loaded itself is taken, with a warning."""
    if not key.algorithm.startswith("ML-DSA"):
        context.use_privatekey(key.handle)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, key.to_pkcs8_pem_insecure()))


def client_context(*, minimum: str = "1.3") -> SSL.Context:
    """A client context. It verifies that the peer holds its certificate's key; who the peer is, the caller verifies."""
    context = _new_context(SSL.TLS1_3_VERSION if minimum == "1.3" else SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_alpn_protos([b"http/1.1"])
    return context


class Engine:
    """One connection. Every method may leave bytes in `outgoing`, which the caller sends."""

    def __init__(self, context: SSL.Context, *, server_name: str = "", server: bool = False) -> None:
        """Starts nothing.

        Args:
            context: of the right side.
            server_name: DNS name for SNI; "" for none.
            server: which side this is.
        """
        self._connection = SSL.Connection(context, None)
        self._server = server
        self.eof = False
        if server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
            if server_name:
                self._connection.set_tlsext_host_name(server_name.encode("idna"))

    def receive(self, data: bytes) -> None:
        """Takes what the network gave; empty means that it ended."""
        if data:
            self._connection.bio_write(data)
        else:
            self._connection.bio_shutdown()

    def outgoing(self) -> bytes:
        """What the network shall get; empty if nothing."""
        parts = []
        while True:
            try:
                parts.append(self._connection.bio_read(_CHUNK))
            except SSL.WantReadError:
                return b"".join(parts)

    def _run(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except (SSL.WantReadError, SSL.WantWriteError):
            return None
        except SSL.ZeroReturnError:
            self.eof = True
            return None
        except SSL.SysCallError:
            raise PeerError("QNSP-SIG-063", "the peer ended the TLS connection without saying so") from None
        except SSL.Error as error:
            reasons = ", ".join(str(part[-1]) for part in error.args[0]) if error.args and error.args[0] else "unknown"
            raise PeerError("QNSP-SIG-061", f"TLS failed: {reasons}") from None

    def handshake(self) -> Handshake | None:
        """Goes on with the handshake; its result once it is done.

        Raises:
            PeerError: QNSP-SIG-061 it failed, -063 the peer went away.
        """

        def step() -> bool:
            self._connection.do_handshake()
            return True

        if not self._run(step):
            return None
        chain = () if self._server else self._connection.get_peer_cert_chain(as_cryptography=True) or ()
        return Handshake(
            version=self._connection.get_protocol_version_name(),
            group=self._connection.get_group_name() or "",
            cipher=self._connection.get_cipher_name() or "",
            certificates=tuple(certificate.public_bytes(Encoding.DER) for certificate in chain),
        )

    def read(self, limit: int = _CHUNK) -> bytes:
        """Plaintext that has arrived, at most `limit` bytes; empty if none, and then `eof` says whether it ended.

        Raises:
            PeerError: QNSP-SIG-061, QNSP-SIG-063.
        """
        return self._run(lambda: self._connection.recv(limit)) or b""

    def write(self, data: bytes) -> None:
        """Encrypts all of `data` into `outgoing`.

        Raises:
            PeerError: QNSP-SIG-061.
        """
        view = memoryview(data)
        while view:
            sent = self._run(lambda: self._connection.send(view[:_CHUNK].tobytes()))  # noqa: B023
            if not sent:
                raise PeerError("QNSP-SIG-063", "the TLS connection is closed")
            view = view[sent:]

    def close(self) -> None:
        """Says goodbye (close_notify)."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            self.eof = True


__all__ = ["PQ_GROUPS", "Engine", "Handshake", "client_context", "server_context"]
