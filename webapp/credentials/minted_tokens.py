"""Tokens that were minted, kept until they are too old to be handed over: sealed in memory for the moment, sealed in a row for a restart.

However many ask, a credential's token is minted once. Whoever can write to the database can neither prolong one nor put it in another's
place: it is sealed to what it was minted from, and to its times.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import HOUR, MINUTE, SECOND, Clock, in_words, rfc3339
from webapp.credentials.credential import AuthMethod
from webapp.credentials.credential import seal_context as value_context
from webapp.credentials.minting import Mint, NotMinted, Source
from webapp.credentials.parameters import is_own_role
from webapp.database import AccountTransaction, Database
from webapp.errors import Conflict, Unavailable
from webapp.registry.kinds import Kind
from webapp.vault import SealBroken, SealContext, Secret, Vault

FLOORS: Mapping[str, int] = {AuthMethod.AWS_ECR: 3 * HOUR, AuthMethod.GCP_SERVICE_ACCOUNT_KEY: 45 * MINUTE}
"""How long a token is good for at least when it is handed over, in milliseconds."""

FAILED = 10 * SECOND
"""How long nobody is asked again after a failure, however many machines ask."""

PATIENCE = 20.0
"""Seconds that a caller waits; the minting goes on for the next one."""

_LOOK = 0.2
"""Seconds between two looks whether another process has minted it."""

BEFORE = 8
"""Tokens of one credential that are remembered besides the one that is handed over: no more of them live at a time, since another one is
minted when an eighth of a life is over, or later."""

MOST = 5000
"""Tokens that are kept in memory; the oldest one goes first, and its row stays."""

_ROW = (
    "SELECT account_id, id, secret_version, host, auth_method, parameters, sealed, minted_at, expires_at FROM minted_tokens"
    " WHERE account_id = :account_id AND id = :id"
)
_STILL = (
    "SELECT name FROM registry_credentials WHERE account_id = :account_id AND id = :id AND secret_version = :secret_version"
    " AND host = :host AND auth_method = :auth_method AND parameters = :parameters"
)
_KEEP = (
    "INSERT INTO minted_tokens (id, account_id, secret_version, host, auth_method, parameters, sealed, kek_id, minted_at, expires_at)"
    " VALUES (:id, :account_id, :secret_version, :host, :auth_method, :parameters, :sealed, :kek_id, :minted_at, :expires_at)"
    " ON CONFLICT (id) DO UPDATE SET secret_version = excluded.secret_version, host = excluded.host, auth_method = excluded.auth_method,"
    " parameters = excluded.parameters, sealed = excluded.sealed, kek_id = excluded.kek_id, minted_at = excluded.minted_at,"
    " expires_at = excluded.expires_at WHERE minted_tokens.account_id = excluded.account_id"
)
_NOTE_FAILURE = (
    "UPDATE registry_credential_activity SET last_failed_at = :at, last_failure_kind = :kind, last_failed_agent = :who"
    " WHERE account_id = :account_id AND registry_credential_id = :id"
)
_WORKS_AGAIN = (
    "UPDATE registry_credential_activity SET last_failed_at = NULL, last_failure_kind = NULL, last_failed_agent = NULL"
    " WHERE account_id = :account_id AND registry_credential_id = :id AND last_failed_agent = :who"
)
_MINTER = "minter"

WHO = "minting its token"
"""In place of the agent on which a pull failed."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A token that is kept, sealed at its `place`. Times are Unix milliseconds."""

    source: Source
    sealed: bytes
    place: bytes
    minted_at: int
    expires_at: int

    def is_good(self, now: int) -> bool:
        """Whether it may be handed over now: for as long as its registry's tokens should be good then, or for 3/4 of its own life.

        None is that was minted in the future: the clock was set back, and what Google says is counted from when it was asked.
        """
        needed = min(FLOORS.get(self.source.auth_method, 0), (self.expires_at - self.minted_at) * 3 // 4)
        return self.minted_at <= now + MINUTE and self.expires_at > now and self.expires_at - now >= needed

    def is_fresh(self, now: int) -> bool:
        """Whether it will be good for another 1/8 of its life: long enough for whoever mints to be out of order meanwhile."""
        return self.is_good(now + (self.expires_at - self.minted_at) // 8)


class MintedTokens:
    """The tokens of all accounts. `mint` asks whoever mints them."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, mint: Mint) -> None:
        self._database, self._vault, self._chain, self._clock, self._mint = database, vault, chain, clock, mint
        self._kept: dict[str, Minted] = {}
        self._before: dict[str, tuple[Minted, ...]] = {}
        self._running: dict[Source, asyncio.Task[Minted | NotMinted]] = {}
        self._failed: dict[Source, tuple[int, NotMinted]] = {}

    def ready(self, source: Source, sealed: bytes) -> Minted | None:
        """The token, if one that may be handed over is in memory: for the hand-over, which waits for nobody.

        One that will soon be too old is handed over, and another one is minted meanwhile; it does no harm when that fails.
        """
        kept, now = self._kept.get(source.credential_id), self._clock()
        if kept is None or kept.source != source or not kept.is_good(now):
            return None
        if not kept.is_fresh(now) and source not in self._running and self._failure(source) is None:
            self._begin(source, sealed, Minted.is_fresh)
        return kept

    async def get(self, source: Source, sealed: bytes) -> Minted:
        """The token, minted with the sealed value where there is none. A caller that leaves stops nobody else's.

        Raises NotMinted; SealBroken for a value that does not open; Conflict for one that was changed meanwhile; Unavailable.
        """
        kept = self.ready(source, sealed)
        if kept is not None:
            return kept
        failure = self._failure(source)
        if failure is not None:
            raise _again(failure)
        task = self._running.get(source) or self._begin(source, sealed, Minted.is_good)
        await asyncio.wait({task}, timeout=PATIENCE)
        if not task.done() or task.cancelled():  # the latter when this server stops
            raise NotMinted(Kind.UNREACHABLE, f"No token has come within {PATIENCE:g} s. Try again.", lasting=False)
        found = task.result()
        if isinstance(found, NotMinted):
            raise _again(found)
        return found

    def open(self, minted: Minted) -> Secret:
        """The token itself. Raises SealBroken, UnknownKey."""
        return self._vault.open_at(minted.sealed, minted.place)

    async def lately(self, account_id: str, credential_id: str) -> list[Minted]:
        """The tokens of this credential, of whichever value, that agents may have been handed lately, as far as they are known."""
        kept = [self._kept[credential_id]] if credential_id in self._kept else []
        kept = [minted for minted in (*kept, *self._before.get(credential_id, ())) if minted.source.account_id == account_id]
        # Another process may have minted a newer one, and have handed it over.
        stored = await self._stored(account_id, credential_id) if self._database.is_shared or not kept else None
        return kept if stored is None or stored in kept else [*kept, stored]

    async def close(self) -> None:
        """End what runs."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _failure(self, source: Source) -> NotMinted | None:
        """Why there was none a moment ago."""
        failed_at, failure = self._failed.get(source, (0, None))
        return failure if failure is not None and 0 <= self._clock() - failed_at < FAILED else None

    def _begin(self, source: Source, sealed: bytes, enough: Callable[[Minted, int], bool]) -> "asyncio.Task[Minted | NotMinted]":
        task = self._running[source] = asyncio.create_task(self._renew(source, sealed, enough))
        task.add_done_callback(partial(self._ended, source))
        return task

    def _ended(self, source: Source, task: asyncio.Task[Minted | NotMinted]) -> None:
        self._running.pop(source, None)
        if task.cancelled() or task.exception() is not None:  # asked for here, too: perhaps nobody waits any more
            return
        found = task.result()
        self._failed.pop(source, None)
        if isinstance(found, NotMinted):
            self._failed[source] = self._clock(), found
            _shorten(self._failed)

    async def _renew(self, source: Source, sealed: bytes, enough: Callable[[Minted, int], bool]) -> Minted | NotMinted:
        """One process at a time does; the others find the token that it has stored, or take their turn."""
        while True:
            async with self._database.exclusively(f"mint {source.credential_id}") as alone:
                if alone or _is_own(source):
                    return await self._renew_alone(source, sealed, enough)
            await asyncio.sleep(_LOOK)

    async def _renew_alone(self, source: Source, sealed: bytes, enough: Callable[[Minted, int], bool]) -> Minted | NotMinted:
        stored = await self._stored(source.account_id, source.credential_id)
        # One of this server's own role is good for the process that minted it: the next one may be forbidden to use the role.
        if stored is not None and stored.source == source and enough(stored, self._clock()) and not _is_own(source):
            self._keep(stored)
            return stored
        if stored is not None and source.credential_id not in self._kept:
            self._remember(stored)
        value = await self._vault.opened(sealed, _value_context(source))
        asked_at = self._clock()
        try:
            token = await self._mint(source, value)
        except NotMinted as error:
            await self._note_failure(source, error)
            return _again(error)
        if token.expires_at <= self._clock():
            sentence = f"A token came that had expired already, on {in_words(token.expires_at)}: the clock of this server or of who mints"
            return NotMinted(Kind.UNREACHABLE, f"{sentence} them is wrong. Look at this server's clock.", lasting=False)
        minted = await self._store(source, token.value, asked_at, token.expires_at)
        self._keep(minted)
        return minted

    async def _note_failure(self, source: Source, problem: NotMinted) -> None:
        """Show the failure at the credential, as one of a pull is shown. It is shown later when the store cannot take it now."""
        values = {"id": source.credential_id, "at": self._clock(), "kind": str(problem.kind), "who": WHO}
        with suppress(Unavailable):
            async with self._database.account(source.account_id).transaction() as transaction:
                await transaction.execute(_NOTE_FAILURE, values)

    def _keep(self, minted: Minted) -> None:
        credential_id = minted.source.credential_id
        before = self._kept.pop(credential_id, None)
        if before is not None:
            self._remember(before)
        self._kept[credential_id] = minted
        _shorten(self._kept)

    def _remember(self, minted: Minted) -> None:
        """Remember a token that is handed over no longer, while it is one that a registry takes: an agent's report may quote it."""
        now, before = self._clock(), self._before.pop(minted.source.credential_id, ())
        others = [each for each in before if each.expires_at > now and each.place != minted.place]
        self._before[minted.source.credential_id] = (*others, minted)[-BEFORE:]
        _shorten(self._before)

    async def _stored(self, account_id: str, credential_id: str) -> Minted | None:
        """The row's token, if it is as it was stored: there may be anything in the database."""
        row = await self._database.account(account_id).fetch_one(_ROW, {"id": credential_id})
        if row is None:
            return None
        sealed, minted_at, expires_at = row["sealed"], row["minted_at"], row["expires_at"]
        if not (isinstance(sealed, bytes) and isinstance(minted_at, int) and isinstance(expires_at, int)):
            return None
        try:
            place = self._vault.place(seal_context(row))
            await self._vault.opened(sealed, seal_context(row))
        except SealBroken:
            return None  # another one is minted; `check` names the row
        return Minted(_source(row), sealed, place, minted_at, expires_at)

    async def _store(self, source: Source, token: Secret, minted_at: int, expires_at: int) -> Minted:
        context = _context(source, minted_at, expires_at)
        sealed = self._vault.seal(token, context)
        columns = {"id": source.credential_id, "secret_version": source.secret_version, "host": source.host}
        columns |= {"auth_method": source.auth_method, "parameters": source.parameters}
        async with self._database.account(source.account_id).transaction() as transaction:
            name = await self._refuse_changed(transaction, columns)
            stored = {"sealed": sealed.blob, "kek_id": sealed.kek_id, "minted_at": minted_at, "expires_at": expires_at}
            await transaction.execute(_KEEP, {**columns, **stored})
            await transaction.execute(_WORKS_AGAIN, {"id": source.credential_id, "who": WHO})
            minter = Actor(source.account_id, "system", _MINTER, _MINTER)
            event = Event(
                "registry_credential.mint", "registry_credential", source.credential_id, name,
                secret_version=source.secret_version, detail=f"host {source.host}; token until {rfc3339(expires_at)}",
            )  # fmt: skip
            await self._chain.append(transaction, minter, event)
        return Minted(source, sealed.blob, self._vault.place(context), minted_at, expires_at)

    async def _refuse_changed(self, transaction: AccountTransaction, columns: Mapping[str, object]) -> str:
        row = await transaction.fetch_one(_STILL, dict(columns))
        if row is None:
            raise Conflict("The registry credential was changed while a token was minted with it. Try again.", "changed-meanwhile")
        return str(row["name"])


def seal_context(row: Mapping[str, Any]) -> SealContext:
    """The place that a row's token is sealed to: what it was minted from, and its times, so that nobody prolongs it."""
    return _context(_source(row), row["minted_at"], row["expires_at"])


def _source(row: Mapping[str, Any]) -> Source:
    return Source(row["account_id"], row["id"], row["secret_version"], row["host"], row["auth_method"], row["parameters"])


def _is_own(source: Source) -> bool:
    return is_own_role(source.auth_method, source.parameters)


def _context(source: Source, minted_at: int, expires_at: int) -> SealContext:
    binding = (source.host, str(source.auth_method), source.parameters, str(minted_at), str(expires_at))
    return SealContext(source.account_id, "minted_tokens", source.credential_id, "sealed", source.secret_version, binding)


def _value_context(source: Source) -> SealContext:
    return value_context(source.account_id, source.credential_id, source.secret_version, source.host, source.auth_method, source.parameters)


def _again(failure: NotMinted) -> NotMinted:
    # An exception that many raise would collect all their tracebacks.
    return NotMinted(failure.kind, failure.sentence, lasting=failure.lasting)


def _shorten(kept: dict[Any, Any]) -> None:
    while len(kept) > MOST:
        del kept[next(iter(kept))]
