"""SSH on a stream of bytes: agree, see who it is, show who we are. In this order."""

import socket
import time
from contextlib import suppress
from typing import Any

from spawn.cli.remote.dial import Program
from spawn.cli.remote.errors import NotLetIn, Unreachable
from spawn.cli.remote.identity import Candidate, Keyring
from spawn.cli.remote.library import paramiko
from spawn.cli.remote.settings import Settings
from spawn.cli.remote.trust import Trust
from spawn.core.ssh.key import HostKey

BANNER_SECONDS = 5.0
_FAR_SECONDS = 12.0
"""For the first word through a program or other hosts, which have to connect themselves."""
_AGREE_SECONDS = 8.0
_LET_IN_SECONDS = 10.0
_TOUCH_SECONDS = 60.0
"""For a key that somebody may have to confirm."""
_ALIVE_SECONDS = 15
"""How often something is sent, so that nobody on the way forgets the connection."""
_POLL_SECONDS = 5.0
"""How often paramiko looks whether it is to end; `close` wakes it."""
_RSA = ("rsa-sha2-512", "rsa-sha2-256")


def shake(
    stream: Any,
    settings: Settings,
    user: str,
    trust: Trust,
    *,
    program: Program | None = None,
    advice: str = "",
) -> Any:
    """Open an SSH connection over a stream; the stream is closed when that fails.

    Args:
        stream: A socket, or what behaves like one.
        advice: What else might be done about a key that is refused.

    Returns:
        paramiko's `Transport`, let in.

    Raises:
        Unreachable: Nobody speaks SSH there, or not in time.
        HostKeyError: It is not who it should be; nothing was sent.
        NotLetIn: It takes none of our keys, or we have none.
    """
    where = f"{settings.host}:{settings.port}"
    library = paramiko()
    far = program is not None or not isinstance(stream, socket.socket)
    transport = library.Transport(stream)
    transport.banner_timeout = _FAR_SECONDS if far else BANNER_SECONDS
    transport.handshake_timeout = _AGREE_SECONDS
    _prefer(transport, trust.preferred())
    try:
        trust.check(_agree(transport, where, program), where)
        _be_let_in(transport, settings, user, where, advice)
        transport.set_keepalive(_ALIVE_SECONDS)
        stream.settimeout(_POLL_SECONDS)
    except BaseException:
        end(transport)
        raise
    return transport


def end(transport: Any) -> None:
    """Close a connection, and wait until its thread is gone."""
    sock = transport.sock
    if isinstance(sock, socket.socket):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
    transport.packetizer.complete_handshake()  # a timer would go on if it was not
    transport.close()
    sock.close()  # `close` leaves it open when the connection was lost already
    if transport.is_alive():
        transport.join(2.0)


def _prefer(transport: Any, types: tuple[str, ...]) -> None:
    """Agree on a key that is known, where the host has several."""
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
        shown = transport.get_remote_server_key()  # it proved that it has the private half
        return HostKey(shown.get_name(), shown.asbytes())
    except library.ssh_exception.IncompatiblePeer as error:
        raise Unreachable(
            f"{where} and we have no way to speak in common", why=str(error)
        ) from None
    except (library.SSHException, OSError, EOFError, ValueError) as error:
        complaint = program.complaint() if program is not None else ""
        if complaint:
            raise Unreachable(
                f"the way to {where} leads nowhere",
                why=f"the ProxyCommand said: {complaint}",
                hint=f"it is: {program.command if program else ''}",
            ) from None
        silent = time.monotonic() - began >= min(transport.banner_timeout, _AGREE_SECONDS) - 0.5
        if silent:
            raise Unreachable(
                f"{where} takes the connection and says nothing",
                why=f"no SSH within {time.monotonic() - began:.0f} s",
                hint="it may be out of memory, starting, or behind something that swallows packets",
            ) from None
        raise Unreachable(
            f"{where} does not speak SSH with us",
            why=_said(error) or "it closed the connection",
            hint="it may be starting, or refuse new connections for a while",
        ) from None


def _be_let_in(transport: Any, settings: Settings, user: str, where: str, advice: str) -> None:
    keyring = Keyring(settings)
    tried: list[str] = []
    try:
        for candidate in keyring:
            tried.append(candidate.words)
            if _takes(transport, user, candidate, where):
                return
            if not transport.is_active():
                raise _refused(settings, user, where, tried, keyring, advice, hung_up=True)
    finally:
        keyring.close()
    if not tried:
        raise _no_key(settings, user, where, keyring, advice)
    raise _refused(settings, user, where, tried, keyring, advice, hung_up=False)


def _takes(transport: Any, user: str, candidate: Candidate, where: str) -> bool:
    library = paramiko()
    transport.auth_timeout = _TOUCH_SECONDS if candidate.slow else _LET_IN_SECONDS
    began = time.monotonic()
    try:
        more = transport.auth_publickey(user, candidate.key)
    except library.BadAuthenticationType as error:
        raise NotLetIn(
            f"{where} lets nobody in by a key",
            why=f"it wants: {', '.join(error.allowed_types)}",
            hint=f"`ssh {user}@{where.rpartition(':')[0]}` may ask you for it; we cannot",
        ) from None
    except (library.SSHException, OSError, EOFError, ValueError) as error:
        if time.monotonic() - began >= transport.auth_timeout - 0.5:
            raise Unreachable(
                f"{where} does not say whether it lets {user} in",
                why=f"no answer within {transport.auth_timeout:g} s to {candidate.words}",
            ) from None
        if "signing" in str(error):
            raise NotLetIn(
                f"the agent does not sign with {candidate.words}",
                why="somebody refused it, or did not confirm it in time",
                hint="--identity FILE names another key",
            ) from None
        return False
    if more:
        raise NotLetIn(
            f"{where} wants more than a key of {user}",
            why=f"it also wants: {', '.join(more)}",
            hint="a second factor cannot be asked for here",
        )
    return True


def _refused(
    settings: Settings,
    user: str,
    where: str,
    tried: list[str],
    keyring: Keyring,
    advice: str,
    *,
    hung_up: bool,
) -> NotLetIn:
    why = f"it takes none of: {', '.join(tried)}"
    hints = [advice] if advice else []
    if hung_up:
        why = f"it hung up after {len(tried)} of our keys: {', '.join(tried)}"
        hints.insert(0, "--identity FILE names the right one, which is then shown first")
    else:
        hints.insert(0, "--ssh-user names another user, --identity FILE another key")
    if keyring.passed_over:
        why += f"; not tried: {', '.join(keyring.passed_over)}"
    hints += _unlock(keyring)
    return NotLetIn(f"{where} does not let {user} in", why=why, hint="; ".join(hints))


def _no_key(settings: Settings, user: str, where: str, keyring: Keyring, advice: str) -> NotLetIn:
    looked = "; ".join(keyring.passed_over)
    if not looked:
        files = ", ".join(settings.identities) or "none is named"
        looked = f"no agent has any, and none of these files is there: {files}"
    unlock = _unlock(keyring)
    hints = unlock or ["--identity FILE names the private key"]
    return NotLetIn(
        f"there is no key to show to {where} for {user}",
        why=looked,
        hint="; ".join([*hints, *([advice] if advice else [])]),
    )


def _unlock(keyring: Keyring) -> list[str]:
    if not keyring.encrypted:
        return []
    return [f"`ssh-add {keyring.encrypted[0]}` gives it to an agent, which asks for its passphrase"]


def _said(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
