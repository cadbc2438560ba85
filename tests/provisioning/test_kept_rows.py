"""Rows that are kept are the latest, or they are read again; and there are only so many of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import add_image, bearer, bootstrap_token, enroll, enrolled, provision, store_credential
from webapp.clock import MINUTE
from webapp.database import Batch
from webapp.images.user_data import Store, parse_user_data
from webapp.provisioning.intended import Intended
from webapp.provisioning.kept_rows import MOST_ONCE, KeptRows, Known
from webapp.provisioning.user_data import FoundUserData
from webapp.secrets.repository import Reading
from webapp.vault import mint

NOW = 7


def known(account_id: str = "alices", sealed: int = 400) -> Known:
    columns: list[Any] = [account_id, "agent", "rack", 1, "image", "ubuntu", "ghcr.io/u", None, None, "c", "c", "c", "ghcr.io", "password"]
    intended = Intended(*columns, *["bot", "", bytes(sealed), 1, None, 0, None])
    return Known(b"mac", intended, revoked=False, claim=b"", place=b"")


def generation(account_id: str) -> int:
    return NOW


def keep(rows: KeptRows, accessor: str, one: Known) -> None:
    """Ask twice, so that it is worth keeping."""
    for _ in range(2):
        assert rows.get(accessor, generation) is None
        rows.keep(accessor, one, NOW)


def test_it_is_kept_when_it_is_asked_for_again() -> None:
    rows, one = KeptRows(), known()
    rows.keep("x", one, NOW)
    assert rows.get("x", generation) is None
    rows.keep("x", one, NOW)
    assert rows.get("x", generation) is one
    assert rows.get("x", generation) is one
    assert rows.get("y", generation) is None


def test_a_row_of_an_older_generation_is_none() -> None:
    rows, one = KeptRows(), known()
    keep(rows, "x", one)
    assert rows.get("x", lambda account_id: NOW + 1) is None
    assert rows.get("x", generation) is None, "and it is gone"
    rows.keep("x", newer := known(), NOW + 1)
    assert rows.get("x", lambda account_id: NOW + 1) is newer, "what was kept before need not be asked for twice again"


def test_it_asks_for_the_generation_of_the_rows_own_account() -> None:
    rows = KeptRows()
    keep(rows, "x", known("charlies"))
    assert rows.get("x", {"charlies": NOW}.__getitem__) is not None


def test_the_one_that_was_not_asked_for_the_longest_goes_first() -> None:
    rows = KeptRows(most=3 * 2500)
    for accessor in "abc":
        keep(rows, accessor, known())
    assert rows.get("a", generation) is not None
    keep(rows, "d", known())
    assert [accessor for accessor in "abcd" if rows.get(accessor, generation) is not None] == ["a", "c", "d"]


def test_large_user_data_counts() -> None:
    rows, large = KeptRows(most=100_000), known()
    large.intended.user_data = "x" * 99_000
    keep(rows, "x", large)
    assert rows.get("x", generation) is None, "it alone is more than there is room for"
    keep(rows, "y", known())
    assert rows.get("y", generation) is not None, "and it takes no room afterwards"


def test_a_million_who_ask_once_push_out_nobody_and_take_no_room() -> None:
    rows = KeptRows()
    keep(rows, "x", known())
    for number in range(2 * MOST_ONCE):
        rows.keep(f"once-{number}", known(), NOW)
    assert rows.get("x", generation) is not None
    assert len(rows._once) == MOST_ONCE


Change = Callable[[httpx2.AsyncClient, dict[str, str]], Awaitable[httpx2.Response]]
FORM = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot"}
IMAGE = {"name": "ubuntu-custom", "docker_image_url": "ghcr.io/acme/ubuntu:24.04"}

CHANGES: dict[str, tuple[Change, Callable[[httpx2.Response], bool]]] = {
    "its value is replaced": (
        lambda alice, ids: alice.post(f"/registry-credentials/{ids['credential']}", data=FORM | {"password": "the-new-one"}),
        lambda answer: answer.json()["registry_auth"]["password"] == "the-new-one",
    ),
    "its user name changes": (
        lambda alice, ids: alice.post(f"/registry-credentials/{ids['credential']}", data=FORM | {"username": "robot"}),
        lambda answer: answer.json()["registry_auth"]["username"] == "robot",
    ),
    "the reference changes": (
        lambda alice, ids: alice.post(
            f"/images/{ids['image']}",
            data=IMAGE
            | {"docker_image_url": "ghcr.io/acme/debian:13", "registry_credential_id": ids["credential"], "current_password": PASSWORD},
        ),
        lambda answer: answer.json()["image"]["reference"] == "ghcr.io/acme/debian:13",
    ),
    "the image needs none any more": (
        lambda alice, ids: alice.post(f"/images/{ids['image']}", data=IMAGE | {"registry_credential_id": ""}),
        lambda answer: answer.json()["registry_auth"] is None,
    ),
    "another image is chosen": (
        lambda alice, ids: alice.post(f"/agents/{ids['agent']}", data={"image_id": ids["other"], "current_password": PASSWORD}),
        lambda answer: answer.json()["image"]["name"] == "other",
    ),
    "the account's default is what it gets now": (
        lambda alice, ids: alice.post(f"/agents/{ids['agent']}", data={"image_id": "", "current_password": PASSWORD}),
        lambda answer: answer.status_code == 409,
    ),
    "the agent is revoked": (
        lambda alice, ids: alice.post(f"/agents/{ids['agent']}/revoke"),
        lambda answer: answer.status_code == 401,
    ),
}


async def furnished(house: House, alice: httpx2.AsyncClient) -> tuple[dict[str, str], str]:
    agent_id, token = await enrolled(house, alice)
    credential = await store_credential(alice)
    image, other = await add_image(alice, credential), await add_image(alice, credential, name="other")
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    return {"agent": agent_id, "credential": credential, "image": image, "other": other}, token


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The accessors whose rows were read from the database."""
    seen: list[str] = []
    real = Batch.tuples

    def tuples(batch: Batch, sql: str, values: Any) -> Any:
        rows = real(batch, sql, values)  # on PostgreSQL it stops whoever asks for what was not read yet
        seen.extend(accessor for accessor in values.values() if accessor is not None)
        return rows

    monkeypatch.setattr(Batch, "tuples", tuples)
    return seen


@pytest.mark.anyio
@pytest.mark.parametrize("what", CHANGES)
async def test_the_next_hand_over_sees_it(house: House, alice: httpx2.AsyncClient, reads: list[str], what: str) -> None:
    ids, token = await furnished(house, alice)
    for _ in range(4):
        assert (await provision(house, token)).json()["registry_auth"]["password"] == "hunter2-but-long"
    assert len(reads) == 3, "the first use is written down, the second is remembered, the third is kept"
    change, is_seen = CHANGES[what]
    assert (await change(alice, ids)).status_code == 303
    assert is_seen(await provision(house, token))
    assert len(reads) == 4, "it was read once more"


@pytest.mark.anyio
async def test_the_accounts_default_image_and_its_withdrawal_are_seen(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await enrolled(house, alice)
    for name in ("first", "second"):
        image_id = await add_image(alice, name=name, docker_image_url=f"nginx:{name}")
        assert (await alice.post("/settings", data={"account_name": "Acme", "default_image_id": image_id})).status_code == 303
        for _ in range(4):
            assert (await provision(house, token)).json()["image"]["name"] == name
    async with house.store.database.transaction() as transaction:  # as a start does with an official image that is in its file no more
        await transaction.execute("UPDATE images SET withdrawn_at = 1 WHERE name = 'second'")
    assert (await provision(house, token)).json()["type"].endswith("/image-withdrawn")


@pytest.mark.anyio
async def test_an_old_token_ends_with_the_enrolment_of_a_new_one(house: House, alice: httpx2.AsyncClient) -> None:
    ids, token = await furnished(house, alice)
    for _ in range(4):
        assert (await provision(house, token)).status_code == 200
    await alice.post(f"/agents/{ids['agent']}/allow-reenrolment", data={"current_password": PASSWORD})
    again = await enroll(house, await bootstrap_token(alice))
    assert (await provision(house, token)).status_code == 401
    assert (await provision(house, again.json()["agent_token"])).status_code == 200


@pytest.mark.anyio
async def test_what_happens_all_the_time_makes_nobody_read_again(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, reads: list[str]
) -> None:
    _, token = await furnished(house, alice)
    for _ in range(3):
        handed = (await provision(house, token)).json()
    client = await house.client()
    result = {"provision_id": handed["provision_id"], "outcome": "failed", "error": "no space left"}
    assert (await client.post("/api/v1/provision/result", json=result, headers=bearer(token))).status_code == 200
    house.clock.advance(2 * MINUTE)  # so that the session is written down as seen
    assert (await alice.get("/agents")).status_code == 200
    await house.app.state.parts.activity.write()
    await store_credential(charlie)
    await enrolled(house, alice, "a-new-machine")
    await store_credential(alice, name="a-new-one")
    assert (await provision(house, token)).status_code == 200
    assert len(reads) == 3


@pytest.mark.anyio
async def test_a_guess_of_a_token_whose_rows_are_kept_is_refused(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await furnished(house, alice)
    for _ in range(4):
        assert (await provision(house, token)).status_code == 200
    _, other = await enrolled(house, alice, "another")
    accessor, secret = token.split("_")[2], other.split("_")[3]
    client = await house.client()
    answers = await asyncio.gather(
        *(client.get("/api/v1/provision", headers=bearer(guess)) for guess in (token[:-1], f"rc_a_{accessor}_{secret}"))
    )
    assert [answer.status_code for answer in answers] == [401, 401]


@pytest.mark.anyio
async def test_guesses_that_come_together_are_looked_for_together(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = await furnished(house, alice)
    statements: list[str] = []
    real = Batch.tuples

    def tuples(batch: Batch, sql: str, values: Any) -> Any:
        statements.append(sql)
        return real(batch, sql, values)

    monkeypatch.setattr(Batch, "tuples", tuples)
    guesses = [mint("a").text.reveal().decode() for _ in range(15)]
    answers = await asyncio.gather(*(provision(house, guess) for guess in (*guesses, token)))
    assert [answer.status_code for answer in answers] == [401] * 15 + [200]
    assert len(statements) <= 2


def test_a_row_stays_when_its_generation_is_not_known_yet() -> None:
    rows, one = KeptRows(), known()
    keep(rows, "x", one)

    def not_read(account_id: str) -> int:
        raise LookupError

    with pytest.raises(LookupError):
        rows.get("x", not_read)
    assert rows.get("x", generation) is one


def test_what_user_data_refers_to_counts_as_well() -> None:
    rows, one, big = KeptRows(most=21_000), known(), known()
    keep(rows, "x", one)
    keep(rows, "y", big)
    readings: dict[tuple[Store, str], Reading] = {("secrets", f"S{number}"): Reading("id", "S", 1, bytes(1000)) for number in range(12)}
    rows.found(big, FoundUserData(parse_user_data("x"), readings))
    assert rows.get("x", generation) is None, "the one that was not asked for the longest makes room"
    assert rows.get("y", generation) is big
    assert big.size > 12_000
    assert rows.get("y", lambda account_id: NOW + 1) is None
    assert rows._bytes == 0
