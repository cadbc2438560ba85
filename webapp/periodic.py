"""What is done again and again while the program runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from webapp.errors import Unavailable
from webapp.log import get_logger

_logger = get_logger(__name__)


@asynccontextmanager
async def repeated(job: Callable[[], Awaitable[object]], seconds: float, *, at_once: bool = True) -> AsyncIterator[None]:
    """Do the job at once, unless that was done, and again so many seconds after it was done, as long as the block runs.

    A job that fails is done again all the same: Unavailable is logged as a warning, and anything else as a fault.
    """

    async def run() -> None:
        if not at_once:
            await asyncio.sleep(seconds)
        while True:
            try:
                await job()
            except Unavailable as error:
                _logger.warning("something that is done again and again was not possible", seconds=seconds, error=str(error))
            except Exception:
                _logger.exception("something that is done again and again failed", seconds=seconds)
            await asyncio.sleep(seconds)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
