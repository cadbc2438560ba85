"""When a value expires: read from it, or typed; what counts when it is replaced; and how the lists say it."""

import base64

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.markup import HTMX, beside, filled_in, link, names, says, summary
from tests.personas import START, House
from tests.real.canary import CANARY
from tests.real.tokens import ecr_token, jwt
from tests.stories import add_image, store_credential
from webapp.clock import DAY, HOUR, MINUTE, SECOND
from webapp.credentials.credential import Credential
from webapp.credentials.expiry import last_day, read_from, through

pytestmark = pytest.mark.anyio

SOON = START + 9 * DAY + HOUR
STORED = {"name": "ghcr-acme", "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": ""}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("value", "expires_at"),
    [
        (ecr_token(SOON), SOON),
        (ecr_token(SOON).rstrip("="), SOON),
        (jwt({"exp": SOON // 1000}), SOON),
        (jwt({"exp": SOON / 1000 + 0.25}), SOON + 250),
        (jwt({"exp": 1}), SECOND),
        (jwt({"sub": "acme"}), None),
        (jwt({"exp": "soon"}), None),
        (jwt({"exp": True}), None),
        (jwt({"exp": -1}), None),
        (jwt({"exp": 10**40}), None),
        (jwt({"exp": SOON // 1000}, ["alg"]), None),
        (jwt({"exp": SOON // 1000}, {"typ": "JWT"}), None),
        (jwt({"exp": SOON // 1000}) + ".more", None),
        ("ghp_" + "x" * 36, None),
        ("a.b.c", None),
        ("..", None),
        (b64('{"expiration": 1}'), None),  # no token of Amazon ECR
        (b64('{"payload": "", "expiration": NaN}'), None),
        (b64('{"payload": "", "expiration": 1e999}'), None),
        (b64("[" * 100_000), None),
        (b64("[" * 9_000), None),
        (b64("17"), None),
        ("\x00\xff", None),
        ("", None),
    ],
)
def test_a_value_may_say_itself_when_it_expires(value: str, expires_at: int | None) -> None:
    assert read_from(value.encode()) == expires_at


@pytest.mark.parametrize(("typed", "over"), [("2026-11-03", "2026-11-04"), ("2028-02-29", "2028-03-01"), (" 2026-12-31 ", "2027-01-01")])
def test_a_credential_is_good_through_the_day_that_was_typed(typed: str, over: str) -> None:
    assert through(typed) == through(over) - DAY
    assert last_day(through(typed)) == typed.strip()
    assert last_day(through(typed) + 1) == over


@pytest.mark.parametrize(
    "typed", ["soon", "3.11.2026", "2026-13-01", "2027-02-29", "2026-W45-2", "20261103", "0000-01-01", "\uff12026-11-03"]
)
def test_what_is_no_date_is_told_what_one_looks_like(typed: str) -> None:
    with pytest.raises(ValueError, match="such as 2027-03-31"):
        through(typed)


async def stored_as(house: House, credential_id: str) -> tuple[int | None, str]:
    found: Credential = await house.store.credentials.get(house.alice.actor, credential_id)
    return found.expires_at, found.expiry_source


async def test_it_is_read_from_the_value_and_said(house: House, alice: httpx2.AsyncClient) -> None:
    form = STORED | {"name": "jwt", "password": jwt({"exp": SOON // 1000})}
    answer = await alice.post("/registry-credentials", data=form, headers=HTMX)
    assert "Read from the value: expires in 9 d, on 12 Nov 2026, 15:05 UTC" in says(answer.text)
    await alice.post("/registry-credentials", data=form | {"name": "without-script"})
    assert "When it expires was read from the value." in (await alice.get("/registry-credentials")).text
    credential_id = await store_credential(alice, password=jwt({"exp": SOON // 1000}), expires_on="2030-01-01")
    assert await stored_as(house, credential_id) == (SOON, "value"), "what the value says itself comes first"
    page = (await alice.get(f"/registry-credentials/{credential_id}")).text
    assert "Read from the value: expires in 9 d 12 Nov 2026, 15:05 UTC" in says(page)
    assert filled_in(page, "expires_on") == ""
    assert (await house.audit())[-1]["detail"] == "host ghcr.io; expires 12 Nov 2026, 15:05 UTC"


async def test_a_date_is_typed_and_changed_and_taken_away(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, expires_on="2026-11-12")
    assert await stored_as(house, credential_id) == (through("2026-11-12"), "typed")
    page = (await alice.get(f"/registry-credentials/{credential_id}")).text
    assert filled_in(page, "expires_on") == "2026-11-12"
    assert "Read from the value" not in page
    for typed, stored in (("2026-11-13", (through("2026-11-13"), "typed")), ("", (None, ""))):
        assert (await alice.post(f"/registry-credentials/{credential_id}", data=STORED | {"expires_on": typed})).status_code == 303
        assert await stored_as(house, credential_id) == stored


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"expires_on": "2026-11-02"}, "expires_on", "2 Nov 2026 is over (UTC)"),
        ({"expires_on": "next week"}, "expires_on", "such as 2027-03-31"),
        ({"expires_on": "2200-01-01"}, "expires_on", "too far away"),
        (
            {"password": ecr_token(START)},
            "password",
            "expired on 3 Nov 2026, 14:05 UTC, and by this server's clock it is 3 Nov 2026, 14:05 UTC",
        ),
    ],
)
async def test_what_has_expired_already_is_refused(
    house: House, alice: httpx2.AsyncClient, fields: dict[str, str], field: str, said: str
) -> None:
    answer = await alice.post("/registry-credentials", data=STORED | {"password": CANARY} | fields)
    assert answer.status_code == 422
    assert said in beside(answer.text, field)
    assert said in summary(answer.text)
    assert CANARY not in answer.text
    assert fields.get("expires_on", "") == filled_in(answer.text, "expires_on")


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_today_is_a_last_day(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, expires_on="2026-11-03")
    assert "expires in 9 h" in says((await alice.get("/registry-credentials")).text)
    house.clock.advance(12 * HOUR - 5 * MINUTE)
    fresh = await house.signed_in(house.alice)
    assert "expired" in says((await fresh.get("/registry-credentials")).text)
    answer = await fresh.post(f"/registry-credentials/{credential_id}", data=STORED | {"name": "renamed", "expires_on": "2026-11-03"})
    assert answer.status_code == 303, "one that has expired can still be edited"
    assert await stored_as(house, credential_id) == (through("2026-11-03"), "typed")


async def test_a_value_that_stays_keeps_what_it_says_itself(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, password=jwt({"exp": SOON // 1000}))
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=STORED | {"name": "renamed"})).status_code == 303
    assert await stored_as(house, credential_id) == (SOON, "value")
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=STORED | {"expires_on": "2030-01-01"})
    assert answer.status_code == 422
    assert "The stored value says itself when it expires." in beside(answer.text, "expires_on")


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize(
    ("before", "entered", "after", "notice"),
    [
        ({"expires_on": "2026-11-12"}, {"expires_on": "2026-11-12"}, (None, ""), "The expiry date of the value before it does not count"),
        ({"expires_on": "2026-11-12"}, {"expires_on": "2026-11-13"}, (through("2026-11-13"), "typed"), "and its value replaced.<"),
        ({"password": jwt({"exp": SOON // 1000})}, {}, (None, ""), "The expiry date of the value before it does not count"),
        ({}, {"password": jwt({"exp": SOON // 1000})}, (SOON, "value"), "When it expires was read from the value."),
    ],
    ids=["the same date", "another date", "read before", "read now"],
)
async def test_a_new_value_has_an_expiry_of_its_own(
    house: House, alice: httpx2.AsyncClient, before: dict[str, str], entered: dict[str, str], after: tuple[int | None, str], notice: str
) -> None:
    credential_id = await store_credential(alice, **before)
    first = await stored_as(house, credential_id)
    form = STORED | {"password": "another-long-one"} | entered
    assert (await alice.post(f"/registry-credentials/{credential_id}", data=form)).status_code == 303
    assert await stored_as(house, credential_id) == after
    assert notice in (await alice.get("/registry-credentials")).text
    back = await alice.post(f"/registry-credentials/{credential_id}/versions/1/roll-back", data={"version": "2"})
    assert back.status_code == 303
    assert await stored_as(house, credential_id) == first, "it comes back with its value"


async def test_the_list_sorts_those_that_expire_first_and_the_rest_by_name(house: House, alice: httpx2.AsyncClient) -> None:
    dates = {"late": "2027-01-01", "b-never": "", "soon": "2026-11-12", "a-never": "", "over": "2026-11-03"}
    for name, day in dates.items():
        await store_credential(alice, name=name, expires_on=day)
    house.clock.advance(DAY)
    fresh = await house.signed_in(house.alice)
    url = link((await fresh.get("/registry-credentials")).text, "Expiring first")
    assert url is not None
    page = (await fresh.get(url)).text
    assert names(page) == ["over", "soon", "late", "a-never", "b-never"]
    badges = [(kind, words) for kind in ("bad", "warn", "neutral") for words in _badges(page, kind)]
    assert badges == [("bad", "expired"), ("warn", "expires in 8 d"), ("neutral", "expires in 58 d")]
    assert page.count("never used") == 5


def _badges(page: str, kind: str) -> list[str]:
    return [says(part.partition("</span>")[0]) for part in page.split(f'<span class="badge {kind}">')[1:]]


async def test_a_roll_back_takes_its_place_in_the_order(house: House, alice: httpx2.AsyncClient) -> None:
    first = await store_credential(alice, name="first", expires_on="2026-11-12")
    await store_credential(alice, name="second", expires_on="2026-11-20")
    await alice.post(f"/registry-credentials/{first}", data=STORED | {"name": "first", "password": "x" * 20})
    assert names((await alice.get("/registry-credentials?order=expiring")).text) == ["second", "first"]
    await alice.post(f"/registry-credentials/{first}/versions/1/roll-back", data={"version": "2"})
    assert names((await alice.get("/registry-credentials?order=expiring")).text) == ["first", "second"]


async def test_the_image_picker_says_so_and_still_lets_one_choose(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, expires_on="2026-11-12")
    await store_credential(alice, name="other", registry_url="quay.io")
    assert "ghcr-acme – ghcr.io – expires in 9 d – never used" in (await alice.get("/images/new")).text
    house.clock.advance(11 * DAY)
    fresh = await house.signed_in(house.alice)
    page = (await fresh.get("/images/new")).text
    assert "ghcr-acme – ghcr.io – expired – never used" in page
    assert "other – quay.io – never used" in page
    await add_image(fresh, credential_id)


@on_sqlite  # it asks the database nothing that others do not ask on both
async def test_a_viewer_sees_it_too(alice: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, expires_on="2026-11-12")
    assert "expires in 9 d 13 Nov 2026, 00:00 UTC" in says((await bob.get(f"/registry-credentials/{credential_id}")).text)


async def test_it_is_not_rolled_back_to_what_has_expired(house: House, alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, expires_on="2026-11-04")
    await alice.post(f"/registry-credentials/{credential_id}", data=STORED | {"password": "the new one", "keep_previous": "7d"})
    house.clock.advance(2 * DAY)
    alice = await house.signed_in(house.alice)
    back = await alice.post(f"/registry-credentials/{credential_id}/versions/1/roll-back", data={"version": "2"})
    assert back.status_code == 409
    assert "Version 1 expired on 5 Nov 2026, 00:00 UTC, and would be handed to nobody. Enter a new value." in says(back.text)
    assert (await house.store.credentials.get(house.alice.actor, credential_id)).secret_version == 2
    assert [kept.secret_version for kept in await house.store.credentials.versions.kept(house.alice.actor, credential_id)] == [1]
