"""What a hello leads to: who it is, and where its alerts begin."""

from __future__ import annotations

from dataclasses import dataclass

from edge.security.keys import LoginKeys
from edge.stream.replay import AlertLog
from edge.types import StreamBounds
from edge.wire import replies
from edge.wire.faults import Fault, MildCode
from edge.wire.login import Challenge, is_proof, prove
from edge.wire.messages import Terms
from edge.wire.replies import Resumption, Role
from edge.wire.requests import Hello, Resume


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as far as the connection itself tells; ``name`` and ``role`` are a certificate's."""

    address: str
    encrypted: bool
    name: str = ""
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """What a client may do, who it is, and the device's own proof.

    ``principal`` is ``mtls:NAME`` by a certificate, ``hmac:KEY_ID`` by a key, ``hmac-plain:KEY_ID`` by a key without
    TLS, where others may speak after the login, and ``open`` for all without one: consumers and ids of commands
    belong to it.
    """

    role: Role
    principal: str = "open"
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a session begins: not known while no outbox is open.

    ``consumer`` is what the outbox knows it by, PRINCIPAL/NAME; it is empty where there is no name.
    """

    resume: Resumption | None
    consumer: str = ""
    complaints: tuple[tuple[MildCode, str], ...] = ()


def log_in(hello: Hello, terms: Terms, peer: Peer, keys: LoginKeys | None, device_id: str, nonce: str) -> Login:
    """See who it is; ``nonce`` is the one that the welcome gave. Raises Fault."""
    if terms.auth == "mtls":
        if peer.role is None:
            raise Fault("auth_failed", "the certificate gives no role: it needs viewer or control")
        return Login(peer.role, f"mtls:{peer.name}")
    if terms.auth == "none":
        return Login("viewer")
    if hello.auth is None:
        raise Fault("auth_required", "this listener asks for a login: hello needs auth {key_id, nonce, mac}")
    if keys is None:
        raise Fault("auth_failed", "this device has no login keys")
    challenge = Challenge(
        key_id=hello.auth.key_id,
        device_id=device_id,
        listener=f"{'tls' if peer.encrypted else 'tcp'}:{terms.listener}",
        server_nonce=nonce,
        client_nonce=hello.auth.nonce,
    )
    secret, key = keys.secret(hello.auth.key_id), keys.get(hello.auth.key_id)
    if not is_proof(hello.auth.mac, secret, "client", challenge) or key is None:
        raise Fault("auth_failed", "the login is wrong: check key_id, secret, device_id and listener")
    # What follows a login on plain TCP could be anybody's: it may only look.
    proof = prove(secret, "server", challenge)
    if not peer.encrypted:
        return Login("viewer", f"hmac-plain:{key.key_id}", proof)
    return Login(key.role, f"hmac:{key.key_id}", proof)


def find_start(
    hello: Hello, principal: str, outbox: AlertLog | None, bounds: StreamBounds | None, unsent: int
) -> Start:
    """Where the session's alerts begin; ``unsent`` is the first that the connection was not sent, 0 where unknown.

    That may be less than ``next_seq``: one that is on disk already and is published after this.
    """
    if outbox is None or bounds is None:
        return Start(None)
    now = Resumption("ok", min(unsent, bounds.next_seq) or bounds.next_seq)
    if isinstance(hello.resume, Resume):
        now = replies.resumption(bounds, hello.resume.stream, hello.resume.after)
    if hello.consumer is None:
        wrong = hello.resume == "last_ack"
        return Start(now, "", (("bad_message", "hello: last_ack needs a consumer; starting at now"),) if wrong else ())
    consumer = f"{principal}/{hello.consumer}"  # nobody else can acknowledge for it
    acked = outbox.register(consumer, now.start - 1)
    if acked is None:
        text = f"no place for the consumer {hello.consumer}: this session goes on without the name"
        return Start(now, "", (("too_many_consumers", text),))
    if hello.resume == "last_ack":
        now = replies.resumption(bounds, bounds.stream, acked)
    return Start(now, consumer)
