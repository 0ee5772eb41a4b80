"""The host keys that cloud-init prints on an instance's console.

Source: cloud-init's `write-ssh-key-fingerprints` and its module `keys_to_console`. Nobody but root
can write there, and who is root there has the keys anyway. So it is as good as having been there;
but kernel and programs write between one another's lines, so only a whole block counts.
"""

from spawn.core.ssh.key import HostKey, parse

_BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
_END = "-----END SSH HOST KEY KEYS-----"


def host_keys(output: str) -> tuple[HostKey, ...]:
    """Find the host keys that a console shows.

    Returns:
        Those of the newest whole block; empty when there is none. A block in which any line is
        not a key is no block: it may lack one, or have what somebody else printed.
    """
    newest: tuple[HostKey, ...] = ()
    block: list[HostKey] | None = None
    for line in output.splitlines():
        text = line.strip()
        if text == _BEGIN:
            block = []
        elif block is None or not text:
            continue
        elif text == _END:
            newest = tuple(block) or newest
            block = None
        else:
            key = parse(text)
            if key is None:
                block = None
            else:
                block.append(key)
    return newest
