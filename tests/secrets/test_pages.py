"""The pages of the secrets and the variables, told once for both: they differ in whether the value is ever seen again."""

import re

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.personas import House
from tests.real.canary import CANARY, found_in
from tests.stories import id_in_list

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", ["secrets", "variables"])]

ENGINES = ("sqlite",)  # its rows are those of test_imports.py and test_user_data.py, which run on both

HTMX = {"HX-Request": "true"}


def noun(kind: str) -> str:
    return kind.removesuffix("s")


async def store(client: httpx2.AsyncClient, kind: str, name: str = "DB_PASSWORD", value: str = CANARY, **more: str) -> str:
    answer = await client.post(f"/{kind}", data={"name": name, "value": value, **more})
    assert answer.status_code == 303, answer.text
    return await id_in_list(client, f"/{kind}", name)


async def value_of(house: House, kind: str) -> bytes:
    repository = house.store.secrets if kind == "secrets" else house.store.variables
    found = []

    def read(batch: object) -> None:
        found.append(repository.readings(batch, house.alice.account_id, ["DB_PASSWORD"]))  # type: ignore[arg-type]  # the queue's batch

    await house.store.database.submit(read)
    return repository.open(house.alice.account_id, found[0]["DB_PASSWORD"]).reveal()


async def test_it_is_stored_and_listed_with_who_replaced_it(house: House, alice: httpx2.AsyncClient, kind: str) -> None:
    assert f"No {kind} yet" in (await alice.get(f"/{kind}")).text
    record_id = await store(alice, kind, description="Of the main database")
    page = (await alice.get(f"/{kind}")).text
    assert "Of the main database" in page
    assert "by alice@example.com" in page
    assert "0&nbsp;images" in page
    assert f"icon-{'seal' if kind == 'secrets' else 'braces'}" in page
    assert await value_of(house, kind) == CANARY.encode()
    row = (await house.audit())[-1]
    assert (row["action"], row["object_id"], row["object_name"]) == (f"{noun(kind)}.create", record_id, "DB_PASSWORD")
    assert row["secret_version"] == (1 if kind == "secrets" else None)


async def test_only_a_variables_value_is_ever_shown(house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, kind: str) -> None:
    record_id = await store(alice, kind)
    answers = [
        await alice.get(f"/{kind}"),
        await alice.get(f"/{kind}/{record_id}"),
        await bob.get(f"/{kind}/{record_id}"),
        await alice.post(f"/{kind}/{record_id}", data={"name": "no name", "value": CANARY}),
        await alice.post(f"/{kind}", data={"name": "DB_PASSWORD", "value": CANARY}, headers=HTMX),
    ]
    shown = [bool(found_in(answer.content)) or "Kanarie" in answer.text for answer in answers]
    assert shown == ([False] * 5 if kind == "secrets" else [True] * 5)
    assert bool(found_in(house.on_disk())) is (kind == "variables"), "a secret is sealed on the disk, too"


async def test_an_edit_keeps_the_value_or_replaces_it(house: House, alice: httpx2.AsyncClient, kind: str) -> None:
    record_id = await store(alice, kind)
    await alice.post(f"/{kind}/{record_id}", data={"name": "DB_PASSWORD", "description": "new words"})
    assert await value_of(house, kind) == CANARY.encode()
    await alice.post(f"/{kind}/{record_id}", data={"name": "DB_PASSWORD", "value": "one\r\ntwo"})
    assert await value_of(house, kind) == b"one\ntwo"
    assert [row["action"] for row in await house.audit()][-2:] == [f"{noun(kind)}.update", f"{noun(kind)}.replace"]


@pytest.mark.parametrize("content", [b"one\r\ntwo\r\n", b"\n\n", "größe ".encode(), b"x" * 65_536])
async def test_a_file_is_kept_byte_for_byte(house: House, alice: httpx2.AsyncClient, kind: str, content: bytes) -> None:
    answer = await alice.post(f"/{kind}", data={"name": "DB_PASSWORD"}, files={"value_file": ("value", content)})
    assert answer.status_code == 303, answer.text
    assert await value_of(house, kind) == content


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("fields", "content", "said"),
    [
        ({"name": ""}, None, "Enter a name"),
        ({"name": "1ST"}, None, "begins with a letter"),
        ({"name": "A-B"}, None, "letters (a to z), digits and underscores"),
        ({"name": "_A"}, None, "begins with a letter"),
        ({"name": "GRÖSSE"}, None, "letters (a to z), digits and underscores"),
        ({"name": "A" * 64}, None, "Use at most 63"),
        ({"description": "x" * 501}, None, "Use at most 500"),
        ({}, b"\0", "NUL byte"),
        ({}, b"s3cret\xff", "The value is not UTF-8: byte 7"),
        ({}, b"x" * 65_537, "Use at most 65536"),
        ({"value": "typed"}, b"and uploaded", "There is a pasted text and an uploaded file"),
    ],
)
async def test_what_is_not_right_says_what_would_be(
    alice: httpx2.AsyncClient, kind: str, fields: dict[str, str], content: bytes | None, said: str
) -> None:
    typed = {"name": "DB_PASSWORD", "value": "" if content is not None else "s3cret", "description": "", **fields}
    answer = await alice.post(f"/{kind}", data=typed, files=None if content is None else {"value_file": ("value", content)})
    assert answer.status_code == 422
    assert said in answer.text
    assert answer.text.index('role="alert"') < answer.text.index('name="name"'), "the summary comes first"
    if kind == "secrets":
        assert "s3cret" not in answer.text


async def test_a_name_that_exists_is_refused_in_any_case(alice: httpx2.AsyncClient, kind: str) -> None:
    await store(alice, kind)
    answer = await alice.post(f"/{kind}", data={"name": "db_password", "value": "x"})
    assert answer.status_code == 422
    assert f"Another {noun(kind)} of this account has this name." in answer.text


async def test_a_double_submit_makes_one(house: House, alice: httpx2.AsyncClient, kind: str) -> None:
    form = {"name": "A", "value": "x", "form_nonce": "n" * 22}
    assert (await alice.post(f"/{kind}", data=form)).status_code == 303
    again = await alice.post(f"/{kind}", data={**form, "name": "B"})
    assert again.headers["location"] == f"/{kind}?q=A"
    assert len(await house.store.database.fetch_all(f"SELECT id FROM {kind}")) == 1


async def test_two_people_who_edit_the_same_one_are_told_apart(alice: httpx2.AsyncClient, kind: str) -> None:
    record_id = await store(alice, kind)
    found = re.search(r'name="version" value="(\d+)"', (await alice.get(f"/{kind}/{record_id}")).text)
    assert found is not None
    form = {"name": "DB_PASSWORD", "value": "mine", "version": found[1]}
    await alice.post(f"/{kind}/{record_id}", data={**form, "description": "somebody else's"})
    stale = await alice.post(f"/{kind}/{record_id}", data=form)
    assert stale.status_code == 412
    assert "changed this while you were editing" in stale.text
    assert "somebody else&#39;s" in stale.text


async def test_it_refuses_a_viewer_and_shows_no_form(bob: httpx2.AsyncClient, alice: httpx2.AsyncClient, kind: str) -> None:
    record_id = await store(alice, kind)
    for path in (f"/{kind}", f"/{kind}/{record_id}", f"/{kind}/{record_id}/delete", f"/{kind}/import", f"/{kind}/import/{'0' * 32}"):
        assert (await bob.post(path, data={"name": "B", "value": "x"})).status_code == 403
    page = (await bob.get(f"/{kind}/{record_id}")).text
    assert 'name="value"' not in page
    assert f'action="/{kind}' not in page


async def test_another_accounts_ids_are_no_ids(charlie: httpx2.AsyncClient, alice: httpx2.AsyncClient, kind: str) -> None:
    record_id = await store(alice, kind)
    for path in (f"/{kind}/{record_id}", f"/{kind}/{record_id}/delete"):
        assert (await charlie.get(path)).status_code == 404
        assert (await charlie.post(path, data={"name": "B", "value": "x"})).status_code == 404


async def test_a_list_of_many_is_searched_and_paged(alice: httpx2.AsyncClient, kind: str) -> None:
    lines = "\n".join(f"NAME_{number:03}=x" for number in range(60))
    preview = await alice.post(f"/{kind}/import", data={"env": lines})
    found = re.search(rf'action="(/{kind}/import/[0-9a-f]+)"', preview.text)
    assert found is not None
    assert (await alice.post(found[1])).status_code == 303
    first = (await alice.get(f"/{kind}")).text
    following = re.search(rf'href="(/{kind}\?after=[^"]+)"', first)
    assert following is not None
    assert ("NAME_049" in first, "NAME_050" in first) == (True, False)
    second = (await alice.get(following[1].replace("&amp;", "&"))).text
    assert ("NAME_049" in second, "NAME_050" in second, "NAME_059" in second) == (False, True, True)
    assert "NAME_042" in (await alice.get(f"/{kind}?q=e_042")).text
    assert "Nothing matches" in (await alice.get(f"/{kind}?q=absent")).text


async def test_only_a_new_value_counts_as_a_replacement(house: House, alice: httpx2.AsyncClient, kind: str) -> None:
    content = b"one\r\ntwo\rthree\n"
    await alice.post(f"/{kind}", data={"name": "DB_PASSWORD"}, files={"value_file": ("value", content)})
    record_id = await id_in_list(alice, f"/{kind}", "DB_PASSWORD")
    # As a browser sends the form back that it was shown: every line's end is CRLF.
    shown = "" if kind == "secrets" else "one\r\ntwo\r\nthree\r\n"
    await alice.post(f"/{kind}/{record_id}", data={"name": "DB_PASSWORD", "value": shown, "description": "new words"})
    assert (await house.audit())[-1]["action"] == f"{noun(kind)}.update"
    assert await value_of(house, kind) == content, "byte for byte"


async def test_a_file_replaces_a_value_whose_text_was_left_as_it_was(house: House, alice: httpx2.AsyncClient, kind: str) -> None:
    record_id = await store(alice, kind, value="before")
    form = {"name": "DB_PASSWORD", "value": "" if kind == "secrets" else "before"}
    answer = await alice.post(f"/{kind}/{record_id}", data=form, files={"value_file": ("value", b"after\n")})
    assert answer.status_code == 303, answer.text
    assert await value_of(house, kind) == b"after\n"


async def test_an_answer_to_a_file_brings_the_stored_text_back(alice: httpx2.AsyncClient, kind: str) -> None:
    record_id = await store(alice, kind, value="before")
    answer = await alice.post(f"/{kind}/{record_id}", data={"name": "no name", "value": ""}, files={"value_file": ("value", b"after")})
    assert answer.status_code == 422
    assert ("before" in answer.text) is (kind == "variables"), "so that saving again does not empty it"


async def test_an_empty_file_is_no_secret(alice: httpx2.AsyncClient, kind: str) -> None:
    answer = await alice.post(f"/{kind}", data={"name": "DB_PASSWORD"}, files={"value_file": ("value", b"")})
    assert answer.status_code == (422 if kind == "secrets" else 303)
