"""Accounts are strictly apart: two of them have one of everything, and no answer to one holds anything of the other's."""

from dataclasses import dataclass

import httpx2
import pytest

from tests.personas import House, Persona
from tests.stories import api_token, bearer, enrolled
from tests.web.matrix import lines
from tests.web.records import MAKERS, Records
from webapp.database import database
from webapp.database.rows import Values
from webapp.database.transaction import scoped

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what pages show; that statements are of one account holds on both (`tests/test_scoping.py`)

WORDS_OF_OURS = frozenset({"action", "actor_kind", "auth_method", "decision", "kind", "method", "object_kind", "outcome", "role"})
"""Columns that hold words of the program's."""

PROVISION = "/api/v1/provision"
SHORTEST = 6
"""Characters of what is looked for: what is shorter stands in every page."""

MORE = (
    "/agents?show=revoked",
    "/images?kind=official",
    "/audit?decision=denied",
    "/registry-credentials?q={q}",
    "/images?q={q}",
    "/audit?q={q}",
)


@dataclass
class Side:
    """One of the two accounts: who asks, with what, and what there is."""

    persona: Persona
    client: httpx2.AsyncClient
    agent_token: str
    api_token: str
    records: Records
    ids: dict[str, str]


async def furnished(house: House, persona: Persona) -> Side:
    """An account with one of everything, in which something was refused and an agent was revoked, too."""
    client = await house.signed_in(persona)
    _, agent_token = await enrolled(house, client, f"machine-of-{persona.name}")
    records = Records(house, agent_token, persona)
    await client.post("/images", data={"name": f"default-of-{persona.name}", "docker_image_url": f"debian:of-{persona.name}"})
    await client.post("/settings", data={"default_image_id": await records.id_of("images", f"default-of-{persona.name}")})
    ids = await records.fresh(tuple(MAKERS))
    revoked, _ = await enrolled(house, client, f"revoked-of-{persona.name}")
    await client.post(f"/agents/{revoked}/revoke")
    await client.get("/api/v1/provision", headers=bearer(agent_token))
    token = await api_token(client, name=f"token-of-{persona.name}", role="admin")
    return Side(persona, client, agent_token, token, records, ids)


async def words_of(house: House, persona: Persona) -> set[str]:
    """Every text in a row of the persona's account, whatever it says: names, ids, accessors, addresses, values."""
    database, found = house.store.database, set[str]()
    for table in await database.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = {row["name"] for row in await database.fetch_all(f"SELECT name FROM pragma_table_info('{table['name']}')")}
        owner = "id" if table["name"] == "accounts" else "account_id"
        if owner in columns:
            rows = await database.fetch_all(f"SELECT * FROM {table['name']} WHERE {owner} = :id", {"id": persona.account_id})
            texts = [value for row in rows for name, value in row.items() if isinstance(value, str) and name not in WORDS_OF_OURS]
            found |= {text for text in texts if len(text) >= SHORTEST}
    return found


async def answers(side: Side, other: Side) -> dict[str, str]:
    """What every page and every other address to read answers to this side: about its own records, and about the other's."""
    found = {}
    addresses = {line.address for line in lines() if line.method == "GET"} | set(MORE)
    for address in sorted(addresses):
        headers = {"": {}, "/api/": bearer(side.api_token), PROVISION: bearer(side.agent_token)}[
            PROVISION if address.startswith(PROVISION) else "/api/" if address.startswith("/api/") else ""
        ]
        for ids in (side.ids, other.ids):
            path = address.format(**ids, q=f"of-{other.persona.name}")
            answer = await side.client.get(path, headers=headers)
            assert answer.status_code in {200, 303, 401, 404, 409}, path
            # What was asked for is said again: in the search box, and nowhere else.
            found[path] = f"{answer.headers} {answer.text}".replace(path, "").replace(f"of-{other.persona.name}", "")
    return found


async def leaks(house: House, mine: Side, theirs: Side) -> list[tuple[str, str]]:
    """Where a word of theirs stands in an answer to me; words of both are nobody's."""
    own, foreign = await words_of(house, mine.persona), await words_of(house, theirs.persona)
    secret = foreign - own
    assert {theirs.persona.email, theirs.ids["image"], theirs.persona.account_id, f"machine-of-{theirs.persona.name}"} <= secret
    assert len(secret) > 50
    given = await answers(mine, theirs)
    assert len(given) > 40
    shown = "".join(given.values())
    assert {f"machine-of-{mine.persona.name}", mine.ids["image"]} <= {word for word in own if word in shown}
    return [(path, word) for path, text in given.items() for word in secret if word in text]


async def test_no_answer_to_one_account_holds_anything_of_the_others(house: House) -> None:
    alices, charlies = [await furnished(house, persona) for persona in (house.alice, house.charlie)]
    assert await leaks(house, alices, charlies) == []
    assert await leaks(house, charlies, alices) == []


async def test_a_list_of_the_wrong_account_is_found(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    alices, charlies = [await furnished(house, persona) for persona in (house.alice, house.charlie)]

    def of_both(sql: str, values: Values | None, account_id: str) -> Values:
        wrong = "FROM secrets" in sql and charlies.persona.account_id == account_id
        return scoped(sql, values, alices.persona.account_id if wrong else account_id)

    monkeypatch.setattr(database, "scoped", of_both)
    assert any(path.startswith("/secrets") for path, _ in await leaks(house, charlies, alices))
