"""Parse the host keys that cloud-init prints on an instance's console.

The console is trusted: only root can write to it, and root has the host keys anyway. The kernel and
other programs may interleave lines, so only complete blocks count.
Source: cloud-init's `write-ssh-key-fingerprints` and its module `keys_to_console`.
"""

from spawn.core.ssh.key import HostKey, parse

_BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
_END = "-----END SSH HOST KEY KEYS-----"


def host_keys(output: str) -> tuple[HostKey, ...]:
    """Parse the host keys in console output.

    Returns:
        The keys of the newest complete block, or an empty tuple. A block with a line that is not a
        key is ignored, because it may be incomplete or contain other output.
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
