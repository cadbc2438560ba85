"""Whose turn it is to have a registry asked: a registry that keeps one account waiting keeps no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

EACH = 8
"""Questions of one account at the same time; of the dialer's places, so that several slow registries leave some to everybody else."""


@dataclass(slots=True)
class _Account:
    room: asyncio.Semaphore
    users: int = 0


class Turns:
    """The turns of all accounts."""

    def __init__(self, each: int = EACH) -> None:
        self._each = each
        self._accounts: dict[str, _Account] = {}

    @asynccontextmanager
    async def of(self, account_id: str) -> AsyncIterator[None]:
        """Wait for a turn of the account, however long that takes, and have it for as long as the block runs."""
        account = self._accounts.setdefault(account_id, _Account(asyncio.Semaphore(self._each)))
        account.users += 1
        try:
            async with account.room:
                yield
        finally:
            account.users -= 1
            if not account.users:
                del self._accounts[account_id]
