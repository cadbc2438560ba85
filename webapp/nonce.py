"""One-time nonces of forms: a double submit makes one record.

A nonce is spent in the transaction that makes the record, never by a form that comes back with errors.
"""

import secrets

from webapp.clock import DAY
from webapp.database import AccountTransaction

KEPT = DAY
"""How long a nonce is remembered: longer than anybody leaves a form open and sends it twice."""


def new_nonce() -> str:
    """A nonce for a form: 128 random bits, URL-safe."""
    return secrets.token_urlsafe(16)


async def spend_nonce(transaction: AccountTransaction, nonce: str, record_id: str, now: int) -> str | None:
    """Spend the nonce on this record; returns None, or the id of the record that it was spent on before.

    An empty nonce (a caller that is no form) is never spent. `now` is in Unix milliseconds.
    """
    if not nonce:
        return None
    row = await transaction.fetch_one(
        "SELECT record_id FROM form_nonces WHERE account_id = :account_id AND nonce = :nonce", {"nonce": nonce[:64]}
    )
    if row is not None:
        return str(row["record_id"])
    await transaction.execute("DELETE FROM form_nonces WHERE account_id = :account_id AND spent_at < :before", {"before": now - KEPT})
    await transaction.execute(
        "INSERT INTO form_nonces (account_id, nonce, record_id, spent_at) VALUES (:account_id, :nonce, :record_id, :now)",
        {"nonce": nonce[:64], "record_id": record_id, "now": now},
    )
    return None
