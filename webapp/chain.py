"""The audit log's writing end: events, and the chain of MACs over their rows.

Every repository writes its event in the transaction of its change, so that neither exists without the
other. The reading end, the page, is the slice `audit/`. The MAC of a row is over the MAC of the row
before it and over the row itself, so that none can be changed, left out or moved unseen.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson

from webapp.actor import Actor
from webapp.clock import Clock
from webapp.database import AccountTransaction, Batch, Database, Row, Transaction, Values, Writer
from webapp.vault import Vault

FIRST_MAC = bytes(32)
"""What stands before the first row of a chain."""

COLUMNS = (
    "chain", "seq", "at", "account_id", "actor_kind", "actor_id", "actor_label", "accessor", "action", "object_kind",
    "object_id", "object_name", "secret_version", "decision", "detail", "address", "request_id",
)  # fmt: skip
"""The columns that a MAC covers, in its order."""

_ALL = (*COLUMNS, "previous_mac", "mac")
_LAST = "SELECT seq, mac FROM audit_log WHERE chain = :chain ORDER BY seq DESC LIMIT 1"
_INSERT = f"INSERT INTO audit_log ({', '.join(_ALL)}) VALUES ({', '.join(':' + column for column in _ALL)})"

_NUL = b"\\u0000"
"""A NUL, as JSON has it. PostgreSQL keeps none: a path that somebody asks for would fail the batch, and with it the others in it."""


@dataclass(frozen=True, slots=True)
class Event:
    """What was done, or refused, to which object. `detail` is a short sentence without secrets."""

    action: str
    object_kind: str
    object_id: str
    object_name: str
    secret_version: int | None = None
    decision: Literal["allowed", "denied"] = "allowed"
    detail: str | None = None


@dataclass(slots=True)
class _Head:
    chain: str
    seq: int
    mac: bytes


class AuditChain:
    """Appends to the chains of this process's writers; a head moves only with a commit.

    The first writer's chain has this name: the installation's, or the one that was given to it by the last restore.
    """

    def __init__(self, database: Database, vault: Vault, clock: Clock, name: str = "") -> None:
        self.name = name or vault.instance_id
        self._database = database
        self._vault = vault
        self._clock = clock
        self._heads: dict[int, tuple[Writer, _Head]] = {}  # what was committed last, by the writer's number
        self._pending: dict[int, tuple[Transaction | Batch, _Head]] = {}
        self.appended = 0
        """How many rows this process has committed."""

    def of_writer(self, number: int) -> str:
        """The chain that the writer with this number appends to: its own, so that no row is fought over."""
        if number == 0:
            return self.name
        return hashlib.sha256(f"{self.name} {number}".encode()).hexdigest()[: len(self.name)]

    async def append(self, transaction: Transaction | AccountTransaction | Batch, actor: Actor, event: Event) -> int:
        """Write the event's row in the caller's transaction or batch. Returns its number in the chain. Raises Unavailable."""
        whole = transaction.whole if isinstance(transaction, AccountTransaction) else transaction
        if isinstance(whole, Batch):
            return self.add(whole, actor, event, self._clock())
        head = self._pending_in(whole)
        if head is None:
            head = self._kept_head(whole.writer) or self._head_of(whole.writer, await whole.fetch_one(_LAST, self._last_of(whole.writer)))
            self._begin(whole, head)
        row, mac = self._row(head, actor, event, self._clock())
        await whole.execute(_INSERT, dict(zip(_ALL, (*row, head.mac, mac), strict=True)))
        self._pending[whole.writer.number] = (whole, _Head(head.chain, head.seq + 1, mac))
        return head.seq + 1

    def add(self, batch: Batch, actor: Actor, event: Event, at: int) -> int:
        """As `append`, to a batch; `at` is when it was, in Unix milliseconds."""
        head = self._pending_in(batch)
        if head is None:
            head = self._kept_head(batch.writer) or self._head_of(batch.writer, batch.row(_LAST, self._last_of(batch.writer)))
            self._begin(batch, head)
        row, mac = self._row(head, actor, event, at)
        batch.insert("audit_log", _ALL, (*row, head.mac, mac))
        batch.on_drop(lambda: self._go_back(batch, head))
        self._pending[batch.writer.number] = (batch, _Head(head.chain, head.seq + 1, mac))
        return head.seq + 1

    async def append_and_commit(self, actor: Actor, event: Event, statements: Sequence[tuple[str, Values]] = ()) -> None:
        """Write the event's row, and these statements with it, in a batch that others share.

        Returns once the row is committed and synced. Raises Unavailable, and then nothing was written.
        """

        async def write(transaction: Batch) -> None:
            for sql, values in statements:
                await transaction.execute(sql, values)
            await self.append(transaction, actor, event)

        await self._database.submit(write)

    def _row(self, head: _Head, actor: Actor, event: Event, at: int) -> tuple[tuple[object, ...], bytes]:
        """The row's columns that its MAC covers, and the MAC."""
        row: tuple[object, ...] = (  # in the order of COLUMNS
            head.chain, head.seq + 1, at, actor.account_id, actor.kind, actor.id, actor.label, actor.accessor, event.action,
            event.object_kind, event.object_id, event.object_name, event.secret_version, event.decision, event.detail, actor.address,
            actor.request_id,
        )  # fmt: skip
        covered = _mac_input(head.mac, row)
        if _NUL in covered:
            row = tuple(value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row)
            covered = _mac_input(head.mac, row)
        return row, self._vault.audit_mac(covered)

    def _pending_in(self, transaction: Transaction | Batch) -> _Head | None:
        """The head as this transaction has moved it; None before it has."""
        pending = self._pending.get(transaction.writer.number)
        return pending[1] if pending is not None and pending[0] is transaction else None

    def _begin(self, transaction: Transaction | Batch, head: _Head) -> None:
        transaction.on_commit(lambda: self._keep(transaction, head.seq))
        transaction.on_abandon(lambda: self._forget(transaction.writer))

    def _kept_head(self, writer: Writer) -> _Head | None:
        """The head that this writer has committed last; None for a new connection with that number: another one may have had it between."""
        kept = self._heads.get(writer.number)
        return kept[1] if kept is not None and kept[0] is writer else None

    def _last_of(self, writer: Writer) -> Values:
        return {"chain": self.of_writer(writer.number)}

    def _head_of(self, writer: Writer, row: Row | None) -> _Head:
        chain = self.of_writer(writer.number)
        return _Head(chain, 0, FIRST_MAC) if row is None else _Head(chain, row["seq"], row["mac"])

    def _keep(self, transaction: Transaction | Batch, before: int) -> None:
        number = transaction.writer.number
        if (pending := self._pending_in(transaction)) is not None:
            self.appended += pending.seq - before
            self._heads[number] = transaction.writer, pending
        self._pending.pop(number, None)

    def _go_back(self, batch: Batch, head: _Head) -> None:
        # Who wrote the row has failed, and its batch goes on without it: the next row follows the one before.
        self._pending[batch.writer.number] = (batch, head)

    def _forget(self, writer: Writer) -> None:
        # Whether the rows are there is known to the database alone: it is asked again.
        self._heads.pop(writer.number, None)
        self._pending.pop(writer.number, None)


def mac_input(previous_mac: bytes, row: Values) -> bytes:
    """The bytes that a row's MAC is over: the previous MAC and the row as a JSON array of COLUMNS, in UTF-8 and without blanks."""
    return _mac_input(previous_mac, [row[column] for column in COLUMNS])


def _mac_input(previous_mac: bytes, row: Sequence[object]) -> bytes:
    return previous_mac + orjson.dumps(row)
