"""The SSH handshake on a byte stream: key exchange, host key verification, then authentication."""

import socket
import time
from contextlib import suppress
from typing import Any

from spawn.cli.ssh.errors import AuthenticationFailed, Unreachable
from spawn.cli.ssh.host_key import HostKey
from spawn.cli.ssh.host_key_check import HostKeyVerifier
from spawn.cli.ssh.host_settings import HostSettings
from spawn.cli.ssh.lazy_imports import paramiko
from spawn.cli.ssh.private_keys import Candidate, Keyring
from spawn.cli.ssh.streams import Program

BANNER_SECONDS = 5.0
_FAR_SECONDS = 12.0
"""Banner timeout through a ProxyCommand or jump hosts, which must connect first."""
_AGREE_SECONDS = 8.0
_LOGIN_SECONDS = 10.0
_CONFIRM_SECONDS = 60.0
"""Login timeout for a key whose use the user may have to confirm."""
_KEEPALIVE_SECONDS = 15
"""Keepalive interval; firewalls and NAT gateways drop idle connections."""
_POLL_SECONDS = 5.0
"""How often paramiko's thread checks whether to stop; `close` wakes it."""
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


def open_transport(
    stream: Any,
    settings: HostSettings,
    user: str,
    verifier: HostKeyVerifier,
    *,
    program: Program | None = None,
    advice: str = "",
) -> Any:
    """Open an SSH connection over a stream. The stream is closed on failure.

    Args:
        stream: A socket or a socket-like object.
        program: The ProxyCommand behind the stream, for its error output.
        advice: An additional hint for the error when authentication fails.

    Returns:
        paramiko's `Transport`, authenticated.

    Raises:
        Unreachable: The host does not speak SSH, or does not answer in time.
        HostKeyError: The host key is not trusted; nothing was sent.
        NotLetIn: The host rejects all keys, or there is no key to try.
    """
    where = f"{settings.host}:{settings.port}"
    library = paramiko()
    far = program is not None or not isinstance(stream, socket.socket)
    transport = library.Transport(stream)
    transport.banner_timeout = _FAR_SECONDS if far else BANNER_SECONDS
    transport.handshake_timeout = _AGREE_SECONDS
    _prefer(transport, verifier.preferred())
    try:
        verifier.check(_agree(transport, where, program), where)
        _authenticate(transport, settings, user, where, advice)
        transport.set_keepalive(_KEEPALIVE_SECONDS)
        stream.settimeout(_POLL_SECONDS)
    except BaseException:
        close_transport(transport)
        raise
    return transport


def close_transport(transport: Any) -> None:
    """Close a transport, and wait up to 2 s for its thread to stop."""
    sock = transport.sock
    if isinstance(sock, socket.socket):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)  # wakes the reading thread
    transport.packetizer.complete_handshake()  # cancels the handshake timer
    transport.close()
    sock.close()  # `transport.close` leaves it open if the connection was already lost
    if transport.is_alive():
        transport.join(2.0)


def _prefer(transport: Any, types: tuple[str, ...]) -> None:
    """Prefer the host key types that are already known, since a host may have several keys."""
    options = transport.get_security_options()
    known = [each for kind in types for each in (_RSA if kind == "ssh-rsa" else (kind,))]
    offered = [each for each in known if each in options.key_types]
    options.key_types = [*offered, *(each for each in options.key_types if each not in offered)]


def _agree(transport: Any, where: str, program: Program | None) -> HostKey:
    library = paramiko()
    seconds = transport.banner_timeout + _AGREE_SECONDS
    began = time.monotonic()
    try:
        transport.start_client(timeout=seconds)
        shown = transport.get_remote_server_key()  # the host has proved that it owns this key
        return HostKey(shown.get_name(), shown.asbytes())
    except library.ssh_exception.IncompatiblePeer as error:
        raise Unreachable(
            f"{where} supports no SSH algorithm that spawn supports", why=str(error)
        ) from None
    except (library.SSHException, OSError, EOFError, ValueError) as error:
        failure = program.failure() if program is not None else ""
        if failure:
            raise Unreachable(
                f"cannot reach {where} through its ProxyCommand",
                why=failure,
                hint=f"the ProxyCommand is: {program.command if program else ''}",
            ) from None
        silent = time.monotonic() - began >= min(transport.banner_timeout, _AGREE_SECONDS) - 0.5
        if silent:
            raise Unreachable(
                f"{where} accepts the connection but does not answer",
                why=f"no SSH banner or key exchange within {time.monotonic() - began:.0f} s",
                hint="it may be starting, out of memory, or behind a firewall that drops packets",
            ) from None
        raise Unreachable(
            f"the SSH handshake with {where} failed",
            why=_message(error),
            hint="it may be starting, or refusing new connections for a while",
        ) from None


def _authenticate(
    transport: Any, settings: HostSettings, user: str, where: str, advice: str
) -> None:
    keyring = Keyring(settings)
    tried: list[str] = []
    try:
        for candidate in keyring:
            tried.append(candidate.words)
            if _try_key(transport, user, candidate, keyring, where):
                return
            if not transport.is_active():
                raise _rejected(settings, user, where, tried, keyring, advice, disconnected=True)
    finally:
        keyring.close()
    if not tried:
        raise _no_key(settings, user, where, keyring, advice)
    raise _rejected(settings, user, where, tried, keyring, advice, disconnected=False)


def _try_key(transport: Any, user: str, candidate: Candidate, keyring: Keyring, where: str) -> bool:
    library = paramiko()
    transport.auth_timeout = _CONFIRM_SECONDS if candidate.slow else _LOGIN_SECONDS
    began = time.monotonic()
    try:
        more = transport.auth_publickey(user, candidate.key)
    except library.BadAuthenticationType as error:
        raise AuthenticationFailed(
            f"{where} does not accept public key authentication",
            why=f"it accepts: {', '.join(error.allowed_types)}",
            hint=f"`ssh {user}@{where.rpartition(':')[0]}` may prompt for it; spawn cannot",
        ) from None
    except (library.SSHException, OSError, EOFError, ValueError):
        if time.monotonic() - began >= transport.auth_timeout - 0.5:
            raise Unreachable(
                f"{where} does not answer the login as {user}",
                why=f"no answer within {transport.auth_timeout:g} s to {candidate.words}",
            ) from None
        if candidate.slow and keyring.refused:
            raise AuthenticationFailed(
                f"the agent refused to sign with {candidate.words}",
                why="the use of the key was refused, or was not confirmed in time",
                hint="--identity FILE names another key",
            ) from None
        return False
    if more:
        raise AuthenticationFailed(
            f"{where} requires more than a key to log in as {user}",
            why=f"it also requires: {', '.join(more)}",
            hint="spawn cannot prompt for a second factor",
        )
    return True


def _rejected(
    settings: HostSettings,
    user: str,
    where: str,
    tried: list[str],
    keyring: Keyring,
    advice: str,
    *,
    disconnected: bool,
) -> AuthenticationFailed:
    why = f"keys tried: {', '.join(tried)}"
    hints = [advice] if advice else []
    if disconnected:
        why = f"it disconnected after {len(tried)} keys: {', '.join(tried)}"
        hints.insert(0, "--identity FILE names the right key, which is then tried first")
    else:
        hints.insert(0, "--ssh-user names another user, --identity FILE another key")
    if keyring.skipped:
        why += f"; not tried: {', '.join(keyring.skipped)}"
    hints += _unlock(keyring)
    return AuthenticationFailed(
        f"{where} rejected the login as {user}", why=why, hint="; ".join(hints)
    )


def _no_key(
    settings: HostSettings, user: str, where: str, keyring: Keyring, advice: str
) -> AuthenticationFailed:
    why = "; ".join(keyring.skipped)
    if not why:
        files = ", ".join(settings.identities) or "(none configured)"
        why = f"no agent has a key, and none of these files exists: {files}"
    unlock = _unlock(keyring)
    hints = unlock or ["--identity FILE names the private key"]
    return AuthenticationFailed(
        f"no key to log in to {where} as {user}",
        why=why,
        hint="; ".join([*hints, *([advice] if advice else [])]),
    )


def _unlock(keyring: Keyring) -> list[str]:
    if not keyring.encrypted:
        return []
    return [f"`ssh-add {keyring.encrypted[0]}` asks for its passphrase and adds it to an agent"]


def _message(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
