"""The state of the installation's keys."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from webapp.actor import Actor
from webapp.clock import Clock
from webapp.database import Batch, Database
from webapp.encryption.key import Key, Keys, State
from webapp.errors import Unavailable
from webapp.vault import Vault


class KeyRepository:
    """The keyring's terms, which all accounts share, and what is sealed with them in `tables`."""

    def __init__(self, database: Database, vault: Vault, clock: Clock, tables: Sequence[str]) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._tables = tuple(tables)

    async def keys(self, actor: Actor) -> Keys:
        """All terms, the newest first, with what the actor's account has under each: others' is nothing of theirs. Raises Unavailable."""
        with suppress(Unavailable):  # what was counted last is shown, and this the next time
            await self.note_wraps()
        account = self._database.account(actor.account_id)
        alone = len(await self._database.fetch_all("SELECT id FROM accounts LIMIT 2")) == 1
        under: Counter[int] = Counter()
        for table in self._tables:  # one by one: each is counted in its index
            counted = f"SELECT kek_id, count(*) AS rows FROM {table} GROUP BY kek_id"
            own = f"SELECT kek_id, count(*) AS rows FROM {table} WHERE account_id = :account_id GROUP BY kek_id"
            rows = await (self._database.fetch_all(counted) if alone else account.fetch_all(own))
            under.update({row["kek_id"]: row["rows"] for row in rows})
        keyring = await self._database.fetch_all(
            "SELECT id, state, created_at, wraps, root_fingerprint FROM keyring WHERE purpose = 'kek' ORDER BY id DESC"
        )
        terms = tuple(Key(row["id"], State(row["state"]), row["created_at"], under[row["id"]], row["wraps"]) for row in keyring)
        return Keys(str(keyring[0]["root_fingerprint"]), terms, alone)

    async def note_wraps(self) -> None:
        """Add to the keyring what each key has wrapped since the last time. Raises Unavailable; then it is added the next time."""
        noted = self._vault.take_wraps()
        if not noted:
            return

        def write(batch: Batch) -> None:
            for kek_id, count in noted.items():
                batch.note("UPDATE keyring SET wraps = wraps + :count WHERE id = :id", {"count": count, "id": kek_id})

        try:
            await self._database.submit(write)
        except BaseException:
            self._vault.give_back_wraps(noted)
            raise
