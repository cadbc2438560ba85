"""The import of a .env file: a preview that stores nothing, then all of it or nothing."""

import asyncio
import re
from typing import Any

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.real.canary import CANARY, found_in
from tests.stories import id_in_list
from webapp.clock import MINUTE
from webapp.errors import Conflict
from webapp.secrets.imports import KEPT_AT_ONCE, ImportRepository

pytestmark = pytest.mark.anyio


async def previewed(client: httpx2.AsyncClient, text: str, kind: str = "secrets") -> tuple[str, str]:
    """The preview's page and the address that its import is posted to."""
    answer = await client.post(f"/{kind}/import", data={"env": text})
    assert answer.status_code == 200, answer.text
    found = re.search(rf'action="(/{kind}/import/[0-9a-f]+)"', answer.text)
    assert found is not None
    return answer.text, found[1]


async def names(house: House, kind: str = "secrets") -> list[str]:
    return [row["name"] for row in await house.store.database.fetch_all(f"SELECT name FROM {kind} ORDER BY name_key")]


def said(page: str) -> str:
    found = re.search(r"<p>([0-9].*?refused\.)</p>", page)
    assert found is not None
    return found[1]


async def test_a_preview_stores_nothing_and_shows_no_value(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/secrets", data={"name": "OLD", "value": "before"})
    page, _ = await previewed(alice, f"OLD={CANARY}\nNEW={CANARY}\nbad name=1\nTWICE=1\nTWICE=2\n")
    assert said(page) == "1 new secret, 1 replaced, 3 refused."
    assert found_in(page.encode()) == []
    assert await names(house) == ["OLD"]
    assert found_in(house.on_disk()) == [], "what waits for its import is sealed"


async def is_gone_with(house: House, alice: httpx2.AsyncClient, sealed: object) -> None:
    _, action = await previewed(alice, "NEW=1\n")
    await house.tamper("UPDATE env_imports SET sealed = :sealed", sealed=sealed)
    answer = await alice.post(action)
    assert answer.status_code == 404
    assert "This import is not there any more" in answer.text
    assert await names(house) == []


@pytest.mark.parametrize("sealed", [bytes(400), b"x"], ids=["zeroes", "short"])
async def test_an_import_that_somebody_tampered_with_is_gone(house: House, alice: httpx2.AsyncClient, sealed: bytes) -> None:
    await is_gone_with(house, alice, sealed)


@on_sqlite  # which takes a value of another type
@pytest.mark.parametrize("sealed", [1, "x"])
async def test_an_import_that_is_not_even_bytes_is_gone(house: House, alice: httpx2.AsyncClient, sealed: object) -> None:
    await is_gone_with(house, alice, sealed)


async def test_an_import_stores_all_of_it_in_one_go(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/secrets", data={"name": "OLD", "value": "before"})
    _, action = await previewed(alice, "OLD=after\nNEW=1\n")
    assert (await alice.post(action)).headers["location"] == "/secrets"
    assert await names(house) == ["NEW", "OLD"]
    assert [row["action"] for row in await house.audit()][-2:] == ["secret.replace", "secret.create"]
    assert (await alice.post(action)).status_code == 303, "a second time is no error"
    assert await names(house) == ["NEW", "OLD"]
    assert await house.store.database.fetch_all("SELECT id FROM env_imports") == []


async def test_a_variable_that_is_the_same_already_is_left_alone(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/variables", data={"name": "SAME", "value": "x"})
    page, action = await previewed(alice, "SAME=x\nNEW=1\n", "variables")
    assert said(page) == "1 new variable, 0 replaced, 1 unchanged, 0 refused."
    await alice.post(action)
    assert [row["action"] for row in await house.audit()].count("variable.replace") == 0


async def test_an_import_whose_ground_has_changed_stores_nothing_and_shows_a_new_preview(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/secrets", data={"name": "OLD", "value": "before"})
    _, action = await previewed(alice, "FIRST=1\nOLD=after\n")
    record_id = await id_in_list(alice, "/secrets", "OLD")
    await alice.post(f"/secrets/{record_id}", data={"name": "OLD", "value": "meanwhile"})
    answer = await alice.post(action)
    assert answer.status_code == 409
    assert "The secret OLD was changed meanwhile" in answer.text
    assert await names(house) == ["OLD"]
    found = re.search(r'action="(/secrets/import/[0-9a-f]+)"', answer.text)
    assert found is not None
    assert (await alice.post(found[1])).status_code == 303
    assert await names(house) == ["FIRST", "OLD"]


async def test_it_is_kept_for_ten_minutes_and_for_the_session_that_began_it(house: House, alice: httpx2.AsyncClient) -> None:
    _, action = await previewed(alice, "A=1\n")
    elsewhere = await house.signed_in(house.alice)
    assert (await elsewhere.post(action)).status_code == 404
    house.clock.advance(10 * MINUTE)
    late = await alice.post(action)
    assert late.status_code == 404
    assert "kept for 10 minutes" in late.text
    await previewed(alice, "B=1\n")
    assert len(await house.store.database.fetch_all("SELECT id FROM env_imports")) == 1, "the next one clears away what has expired"
    assert await names(house) == []


async def test_an_import_of_secrets_is_none_of_variables(house: House, alice: httpx2.AsyncClient) -> None:
    _, action = await previewed(alice, "A=1\n")
    assert (await alice.post(action.replace("secrets", "variables"))).status_code == 404
    assert await names(house, "variables") == []


async def test_a_file_of_256_kib_may_be_uploaded(house: House, alice: httpx2.AsyncClient) -> None:
    content = b"".join(b"N%d='%s'\n" % (number, b"x" * 60_000) for number in range(4))
    content += b"# " + b"-" * (256 * 1024 - len(content) - 3) + b"\n"
    assert len(content) == 256 * 1024
    answer = await alice.post("/secrets/import", files={"env_file": (".env", content)})
    assert answer.status_code == 200
    assert said(answer.text) == "4 new secrets, 0 replaced, 0 refused."
    larger = await alice.post("/secrets/import", files={"env_file": (".env", content + b"\n")})
    assert larger.status_code == 422
    assert "Import at most 256 KiB at a time" in larger.text
    pasted = await alice.post("/secrets/import", data={"env": "A=" + "ä" * 100_000})
    assert pasted.status_code == 200
    assert (await alice.post("/secrets/import", content=b"x" * 800_000)).status_code == 413


async def test_a_thousand_secrets_are_stored_at_once(house: House, alice: httpx2.AsyncClient) -> None:
    _, action = await previewed(alice, "".join(f"N{number}=x\n" for number in range(1000)))
    assert (await alice.post(action)).status_code == 303
    assert len(await names(house)) == 1000
    too_many = await alice.post("/secrets/import", data={"env": "".join(f"N{number}=x\n" for number in range(1001))})
    assert too_many.status_code == 422
    assert "more than 1000 names" in too_many.text


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("form", [{}, {"env": ""}, {"env": " \n"}, {"env": "\ufeffA=1"}, {"env": "A=s3cret\0"}])
async def test_what_is_no_env_file_says_so_in_the_form(alice: httpx2.AsyncClient, form: dict[str, str]) -> None:
    answer = await alice.post("/secrets/import", data=form)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "s3cret" not in answer.text


async def test_imports_at_the_same_time_do_not_get_in_each_others_way(house: House, alice: httpx2.AsyncClient) -> None:
    _, first = await previewed(alice, "A=1\nB=1\n")
    elsewhere = await house.signed_in(house.alice)
    _, second = await previewed(elsewhere, "B=2\nC=2\n")
    answers = await asyncio.gather(alice.post(first), alice.post(first), elsewhere.post(second))
    assert {answer.status_code for answer in answers} == {303, 409}, "which one is first, nobody knows"
    assert await names(house) in (["A", "B"], ["B", "C"]), "one of them as a whole"
    late = next(answer for answer in answers if answer.status_code == 409)
    found = re.search(r'action="(/secrets/import/[0-9a-f]+)"', late.text)
    assert found is not None
    assert (await (elsewhere if late is answers[2] else alice).post(found[1])).status_code == 303
    assert await names(house) == ["A", "B", "C"]


async def test_one_that_was_stored_while_another_was_in_its_way_is_done(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, action = await previewed(alice, "A=1\n")
    assert (await alice.post(action)).status_code == 303
    commit, refused = ImportRepository.commit, list[str]()

    async def in_the_way(self: ImportRepository, *arguments: Any) -> int:
        if not refused:
            refused.append("the same form, sent a second time, was read before the first one was stored")
            raise Conflict("Another import of this account was stored at the same time.", "import-stale")
        return await commit(self, *arguments)

    monkeypatch.setattr(ImportRepository, "commit", in_the_way)
    assert (await alice.post(action)).status_code == 303
    _, nobodys = await previewed(alice, "B=1\n")
    await house.tamper("DELETE FROM env_imports")
    refused.clear()
    assert (await alice.post(nobodys)).status_code == 404


async def test_a_stale_import_that_is_sent_twice_gets_two_previews_that_can_be_confirmed(house: House, alice: httpx2.AsyncClient) -> None:
    _, first = await previewed(alice, "A=1\nB=1\n")
    elsewhere = await house.signed_in(house.alice)
    _, second = await previewed(elsewhere, "B=2\n")
    assert (await elsewhere.post(second)).status_code == 303
    answers = [await alice.post(first), await alice.post(first)]
    assert [answer.status_code for answer in answers] == [409, 409]
    again = [found[1] for answer in answers if (found := re.search(r'action="(/secrets/import/[0-9a-f]+)"', answer.text))]
    assert (await alice.post(again[0])).status_code == 303
    assert (await alice.post(again[1])).status_code == 409, "what the other one stored was not in its preview"
    assert await names(house) == ["A", "B"]


async def test_a_session_keeps_the_last_few_imports_only(house: House, alice: httpx2.AsyncClient) -> None:
    actions = []
    for number in range(KEPT_AT_ONCE + 2):
        actions.append((await previewed(alice, f"A{number}=1\n"))[1])
        house.clock.advance(1)
    assert [(await alice.post(action)).status_code for action in actions] == [404, 404, *[303] * KEPT_AT_ONCE]
