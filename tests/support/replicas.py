"""Replicas built by hand, and object stores that count requests or lose responses."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from spawn.core.config.model import QueueConfig
from spawn.core.domain import chain
from spawn.core.domain.replay import Row
from spawn.store.objects.folder import FolderStore
from spawn.store.objects.interface import PAGE, Object, ObjectExists, ObjectStore, Unavailable
from spawn.store.replica import lines, names
from spawn.store.replica.claim import claim
from spawn.store.replica.lease import LeaseHolder, Owner
from spawn.store.replica.pack import Packer
from spawn.store.replica.ship import Shipper

OWNER = Owner(place="there", instance_id="i-0123456789abcdef0", hostname="ip-10-0-0-1")


class CountingStore(FolderStore):
    """Counts requests. It writes without a sync, and reads its folder once for many lists, so that
    a replica of 100,000 segments takes only seconds."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.folder = root
        self.requests: Counter[str] = Counter()
        self._keys: dict[str, list[str]] = {}

    def create(self, key: str, data: bytes) -> str:
        self.requests["PUT"] += 1
        path = self.folder / key
        try:
            with open(path, "xb") as file:
                file.write(data)
        except FileExistsError:
            raise ObjectExists(key) from None
        except FileNotFoundError:
            path.parent.mkdir(parents=True)
            return self.create(key, data)
        self._keys.clear()
        return ""

    def has(self, key: str) -> bool:
        self.requests["HEAD"] += 1
        return super().has(key)

    def read(self, key: str) -> Object:
        self.requests["GET"] += 1
        return super().read(key)

    def list(self, prefix: str, after: str = "") -> list[tuple[str, int]]:
        self.requests["LIST"] += 1
        folder = self.folder / prefix
        if prefix not in self._keys:
            found = sorted(folder.iterdir()) if folder.exists() else []
            self._keys[prefix] = [prefix + path.name for path in found]
        keys = self._keys[prefix]
        begin = bisect_right(keys, after)
        page = keys[begin : begin + PAGE]
        return [(key, (self.folder / key).stat().st_size) for key in page]


class ForgetfulStore(CountingStore):
    """Loses the responses to the next `lost` writes, which take effect."""

    lost = 0

    def create(self, key: str, data: bytes) -> str:
        etag = super().create(key, data)
        if self.lost:
            self.lost -= 1
            raise Unavailable(f"{key} cannot be reached")
        return etag


class GrowingLog:
    """A local log as a shipper sees it: the first `seq` of these events are durable."""

    def __init__(self, rows: list[Row], seq: int | None = None) -> None:
        self.all = rows
        self.seq = len(rows) if seq is None else seq

    def __call__(self, after: int) -> Iterator[Row]:
        """Return the durable rows after a seq, as `store.replica.ship.Log` does."""
        return iter(self.all[after : self.seq])


def shipper(store: ObjectStore, log: GrowingLog, queue_id: str, after: int = 0) -> Shipper:
    """Create a shipper that knows the store's log up to a seq."""
    hash_ = log.all[after - 1][3] if after else chain.genesis(queue_id)
    return Shipper(store, log, seq=after, hash_=hash_)


def ship(
    store: ObjectStore, rows: list[Row], ends: Iterable[int], *, queue_id: str, pack: bool = True
) -> Packer:
    """Ship a log in segments that end with these seqs, and create the packs that become due."""
    log = GrowingLog(rows, 0)
    shipping = shipper(store, log, queue_id)
    packer = Packer(store, log)
    for end in ends:
        log.seq = end
        while (segment := shipping.ship()) is not None:
            packer.add_segment(*segment)
            while pack and packer.due:
                packer.pack()
    return packer


def write_segments(store: ObjectStore, rows: list[Row], ends: Iterable[int]) -> None:
    """Write segments that end with these seqs, without a shipper."""
    first = 1
    for end in ends:
        store.create(names.segment(first), lines.encode(rows[first - 1 : end]))
        first = end + 1


def lease(
    store: ObjectStore,
    head: Row,
    *,
    epoch: int = 1,
    handed_back: bool = False,
    owner: Owner | None = None,
    nonce: str = "n",
) -> None:
    """Write a lease whose head is `head`."""
    holder = LeaseHolder(
        store,
        owner=owner or OWNER,
        epoch=epoch,
        nonce=nonce,
        seen=None,
        head=lambda: (head[0], head[3]),
    )
    holder.claim()
    if handed_back:
        holder.renew(handed_back=True)


def replicate(
    store: ObjectStore,
    rows: list[Row],
    config: QueueConfig,
    *,
    ends: Iterable[int],
    packed: bool = True,
    handed_back: bool = True,
) -> None:
    """Write the whole replica of a log, as its runner leaves it.

    Args:
        config: Includes the queue's id.
        packed: Whether the runner packed the whole log at its end.
    """
    assert config.queue_id is not None
    claim(store, config, by="there")
    packer = ship(store, rows, ends, queue_id=config.queue_id)
    if packed:
        packer.pack_all(len(rows))
    lease(store, rows[-1], handed_back=handed_back)


def objects(root: Path, prefix: str = "") -> dict[str, bytes]:
    """Return the objects below a prefix: key and bytes, in order."""
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    return {key: data for key, data in found.items() if key.startswith(prefix)}
