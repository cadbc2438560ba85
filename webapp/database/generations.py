"""Which state of an account's rows something was read in, so that what was kept of them is never stale.

Whoever keeps rows keeps the account's generation with them, both read while nobody else writes, and asks whether it still is the same
before they are used. Every write raises the generation of its account, but for those named here.
"""

import re
from collections.abc import Collection
from functools import lru_cache

QUIET = frozenset(
    {
        "agent_activity",
        "api_tokens",
        "audit_cuts",
        "audit_log",
        "audit_restores",
        "env_imports",
        "form_nonces",
        "image_activity",
        "minted_tokens",
        "provision_results",
        "registry_credential_activity",
        "registry_credential_versions",
        "sessions",
        "sign_in_failures",
    }
)
"""Tables that are written all the time, and that nothing which is kept was read from."""

EVERY_ACCOUNT = ""
"""What a write changed that names no account."""

_WRITTEN = re.compile(r"\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(\w+)", re.IGNORECASE)
_NEW_TABLE = re.compile(r"\s*CREATE\s+TABLE\s", re.IGNORECASE)
_NEW_ROW = re.compile(r"\s*INSERT\s+INTO(?!.*\bON\s+CONFLICT\b.*\bDO\s+UPDATE\b)", re.IGNORECASE | re.DOTALL)


@lru_cache(maxsize=1024)
def is_quiet(sql: str) -> bool:
    """Whether this statement changes nothing that may have been kept: it reads, it adds a row or a table, or it writes to a quiet table.

    What was added is in nothing that was kept, since what is absent is never kept.
    """
    if sql.lstrip()[:6].upper() == "SELECT" or _NEW_ROW.match(sql) or _NEW_TABLE.match(sql):
        return True
    written = _WRITTEN.match(sql)
    return written is not None and written[1].lower() in QUIET


class Generations:
    """The generations of one open database, which only this process writes to."""

    def __init__(self) -> None:
        self._every = 0
        self._accounts: dict[str, int] = {}

    def of(self, account_id: str) -> int:
        """The account's generation: a number that only rises."""
        return self._every + self._accounts.get(account_id, 0)

    def raise_for(self, changed: Collection[str]) -> None:
        """Raise the generation of these accounts, or of all of them; for the queue of writes, while it is held."""
        for account_id in changed:
            if account_id == EVERY_ACCOUNT:
                self._every += 1
            else:
                self._accounts[account_id] = self._accounts.get(account_id, 0) + 1
