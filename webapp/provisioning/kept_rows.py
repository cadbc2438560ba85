"""The rows of hand-overs, kept sealed as they were read: most machines of a fleet ask again and again, and nothing has changed.

They cannot be stale. A row is kept with its account's generation (`database/generations.py`); both are read, kept and asked for in the
queue of writes, while nobody writes, and whatever changes a row raises the generation before the queue is let go.
"""

from collections.abc import Callable
from dataclasses import dataclass

from webapp.chain import Event
from webapp.credentials.minting import Source
from webapp.provisioning.intended import Intended
from webapp.provisioning.user_data import FoundUserData

MOST_BYTES = 32 * 1024 * 1024

MOST_ONCE = 20_000
"""Accessors that are remembered of those who asked once."""

_EACH = 2000
"""Bytes of an entry without what varies much: measured with tracemalloc."""

_EACH_READING = 500
"""Bytes of a value that user data refers to, without the value."""

NOWHERE = b""
"""The place of a credential whose row says none that there is: nothing opens there."""


@dataclass(slots=True)
class Known:
    """A token's row, with what is made ready of it once.

    `claim` is what the token's MAC is checked against, `place` where the credential is sealed to (None for no credential). `event` is
    what the audit log says of it, once it was looked at and there is something to hand over; `noted_at` when its use was last noted
    (Unix ms). `source` is what a token is minted from, where the credential's value itself is not handed over. `user_data` is what the
    image's template refers to, once it was asked for.
    """

    mac: bytes
    intended: Intended
    revoked: bool
    claim: bytes
    place: bytes | None
    source: Source | None = None
    user_data: FoundUserData | None = None
    generation: int = -1
    event: Event | None = None
    noted_at: int = 0
    size: int = 0


class KeptRows:
    """Rows by their token's accessor, up to some bytes; the one that was not asked for the longest goes first.

    A row is kept when it is asked for again: a million machines that ask once each push out none that ask every minute.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._rows: dict[str, Known] = {}
        self._bytes = 0
        self._once: dict[str, None] = {}

    def get(self, accessor: str, generation_of: Callable[[str], int]) -> Known | None:
        """The row, if it is still what the database holds. Raises what `generation_of` raises; then nothing has changed."""
        known = self._rows.get(accessor)
        if known is None:
            return None
        generation = generation_of(known.intended.account_id)
        del self._rows[accessor]
        if known.generation != generation:
            self._bytes -= known.size
            self._once[accessor] = None
            return None
        self._rows[accessor] = known  # behind all others
        return known

    def has(self, accessor: str) -> bool:
        """Whether there is one, which may be too old."""
        return accessor in self._rows

    def found(self, known: Known, user_data: FoundUserData | None) -> None:
        """Note what the row's template refers to, which was read in the state that the row is of."""
        known.user_data = user_data
        if known.generation >= 0:
            self._bytes -= known.size
            self._measure(known)

    def keep(self, accessor: str, known: Known, generation: int) -> None:
        """Keep a row that was read in this generation of its account, if it is worth it."""
        if known.generation >= 0:
            return  # it is kept already
        if accessor not in self._once:
            self._once[accessor] = None
            if len(self._once) > MOST_ONCE:
                del self._once[next(iter(self._once))]
            return
        del self._once[accessor]
        known.generation = generation
        self._rows[accessor] = known
        self._measure(known)

    def _measure(self, known: Known) -> None:
        known.size = _size(known)
        self._bytes += known.size
        while self._bytes > self._most:
            self._bytes -= self._rows.pop(next(iter(self._rows))).size


def _size(known: Known) -> int:
    readings = known.user_data.readings.values() if known.user_data is not None else ()
    read = sum(_EACH_READING + len(reading.stored) for reading in readings)
    return _EACH + len(known.intended.sealed or b"") + len(known.intended.user_data or "") + read
