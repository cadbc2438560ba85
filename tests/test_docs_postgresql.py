"""What docs/postgresql.md tells people to type at PostgreSQL, typed."""

import re
from pathlib import Path

import httpx2
import pytest

from tests.audit.test_verification import silent
from tests.engines import Engine
from tests.personas import House
from tests.real.postgresql import ROLE, Cluster
from tests.stories import add_image, enrolled, provision, store_credential
from webapp.audit.retention import cut
from webapp.audit.verification import verify
from webapp.clock import DAY

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", ["postgresql"], indirect=True)]

DOCS = Path(__file__).resolve().parent.parent / "docs" / "postgresql.md"


def partitioning() -> str:
    (block,) = re.findall(r"```sql\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    return str(block)


async def test_an_audit_log_in_partitions_is_written_verified_and_cut(
    house: House, alice: httpx2.AsyncClient, engine: Engine, postgresql: Cluster
) -> None:
    _, token = await enrolled(house, alice)
    image = await add_image(alice, await store_credential(alice))
    await alice.post("/settings", data={"account_name": "Acme", "default_image_id": image})
    assert (await provision(house, token)).status_code == 200
    before = await house.audit()
    await postgresql.execute(engine.made[0], f"SET ROLE {ROLE}; {partitioning()}")
    house.clock.advance(40 * DAY)
    assert (await provision(house, token)).status_code == 200
    counts = (
        "SELECT (SELECT count(*) FROM audit_log_before), (SELECT count(*) FROM audit_log_2026_12), (SELECT count(*) FROM audit_log_later)"
    )
    assert await postgresql.execute(engine.made[0], counts) == f"{len(before)}|1|0"
    found = await verify(house.store.database, house.store.vault, silent)
    assert (found.rows, found.problems) == (len(before) + 1, ())
    page = await (await house.signed_in(house.alice)).get("/audit")
    assert "registry_credential.release" in page.text
    parts = house.store.database, house.store.vault, house.store.chain, house.clock
    assert await cut(*parts, house.alice.actor, house.clock() - DAY, silent) == len(before) - 1, "a chain's last row stays, to go on from"
    assert await postgresql.execute(engine.made[0], "SELECT count(*) FROM audit_log_before") in {"1", "0"}
    assert (await verify(house.store.database, house.store.vault, silent)).problems == ()
