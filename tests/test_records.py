"""Lists of very many records: paged, sorted and searched by what an index tells, and inside names when that is asked for."""

import re
from html import unescape

import httpx2
import pytest

from tests.engines import on_sqlite
from tests.markup import link
from tests.personas import House
from tests.stories import add_image, bootstrap_token, enroll, enrolled, store_credential
from webapp import records
from webapp.clock import MINUTE
from webapp.credentials.repository import ORDERS
from webapp.records import PAGE, Wanted

pytestmark = pytest.mark.anyio

NAMES = ("acme-a", "acme-b", "beta-acme", "gamma")


def names(page: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'<th scope="row">(?:(?!</th>).)*?<a [^>]*>([^<]+)</a>', page, re.DOTALL)]


@pytest.fixture
def very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three records are as many as 20,000 are otherwise."""
    monkeypatch.setattr(records, "MANY", 3)


async def everything(house: House, alice: httpx2.AsyncClient, name: str) -> None:
    credential_id = await store_credential(alice, name=name)
    await add_image(alice, credential_id, name=name)
    await enrolled(house, alice, name)
    for kind in ("secrets", "variables"):
        assert (await alice.post(f"/{kind}", data={"name": name.replace("-", "_"), "value": "x"})).status_code == 303


LISTS = ["/registry-credentials", "/images", "/agents", "/secrets", "/variables"]


@pytest.mark.usefixtures("very_many")
async def test_among_very_many_it_looks_at_how_names_begin_and_inside_them_when_asked(house: House, alice: httpx2.AsyncClient) -> None:
    for name in NAMES:
        await everything(house, alice, name)
    for path in LISTS:
        glyph = "_" if path in ("/secrets", "/variables") else "-"
        own = [name.replace("-", glyph) for name in NAMES]
        begins = (await alice.get(path, params={"q": "ACME"})).text
        assert names(begins) == own[:2], path
        assert "These names begin with “ACME”." in unescape(begins)
        inside = link(begins, "Search inside all names, too")
        assert inside is not None, path
        found = (await alice.get(inside)).text
        assert names(found) == own[:3], path
        assert "These names begin with" not in found
        assert names((await alice.get(path, params={"q": "eta" + glyph})).text) == own[2:3], "nothing begins with it, so it looks inside"
        assert "Nothing matches “zz”" in unescape((await alice.get(path, params={"q": "zz"})).text)


async def test_among_few_it_looks_inside_names_at_once(house: House, alice: httpx2.AsyncClient) -> None:
    for name in NAMES:
        await store_credential(alice, name=name)
    page = (await alice.get("/registry-credentials?q=acme")).text
    assert names(page) == list(NAMES[:3])
    assert link(page, "Search inside all names, too") is None


@pytest.mark.usefixtures("very_many")
@pytest.mark.parametrize(("query", "prefix"), [("c-", "c-"), ("-", "c-"), ("", "c-")], ids=["beginnings", "inside", "all"])
async def test_every_page_of_a_search_follows_the_one_before(alice: httpx2.AsyncClient, query: str, prefix: str) -> None:
    expected = [f"{prefix}{number:03}" for number in range(2 * PAGE + 1)]
    for name in reversed(expected):
        assert (await alice.post("/registry-credentials", data=FORM | {"name": name})).status_code == 303
    found: list[str] = []
    url: str | None = f"/registry-credentials?q={query}"
    for _ in range(3):
        assert url is not None
        page = (await alice.get(url)).text
        found += names(page)
        url = link(page, "Next page")
    assert url is None
    assert found == expected
    first = link(page, "First page")
    assert first is not None
    assert names((await alice.get(first)).text) == expected[:PAGE]


FORM = {"registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": "hunter2-but-long"}


async def test_credentials_are_sorted_by_registry_and_by_when_they_were_replaced(house: House, alice: httpx2.AsyncClient) -> None:
    for name, host in (("b", "quay.io"), ("a", "quay.io"), ("d", "ghcr.io"), ("c", "registry.example:5000")):
        await store_credential(alice, name=name, registry_url=host)
        house.clock.advance(MINUTE)
    page = (await alice.get("/registry-credentials")).text
    shown = {}
    for label in ("Name", "Registry", "Newest", "Oldest"):
        url = link(page, f"{label}</a>")  # and not "Registry Credentials"
        assert url is not None
        shown[label] = names((await alice.get(url)).text)
    assert shown == {"Name": [*"abcd"], "Registry": [*"dabc"], "Newest": [*"cdab"], "Oldest": [*"badc"]}
    assert names((await alice.get("/registry-credentials?order=nonsense")).text) == [*"abcd"]


@pytest.mark.parametrize("order", ORDERS)
async def test_no_order_loses_or_repeats_one_between_pages(house: House, alice: httpx2.AsyncClient, order: str) -> None:
    for number in range(2 * PAGE + 1):
        values = {"name": f"c-{number * 37 % 101:03}", "registry_url": f"r{number % 3}.example.com"}
        assert (await alice.post("/registry-credentials", data=FORM | values)).status_code == 303
        if number % 10 == 0:  # many are of the same moment
            house.clock.advance(1)
    found: list[str] = []
    url: str | None = f"/registry-credentials?order={order}"
    while url is not None:
        page = (await alice.get(url)).text
        found += names(page)
        url = link(page, "Next page")
    assert sorted(found) == [f"c-{number:03}" for number in range(2 * PAGE + 1)]
    whole = [await house.store.credentials.page(house.alice.actor, Wanted(order=order))]
    while whole[-1].after is not None:
        whole.append(await house.store.credentials.page(house.alice.actor, Wanted(order=order, after=whole[-1].after)))
    keys = [getattr(one, ORDERS[order].columns[0].removesuffix("_key")) for page_ in whole for one in page_.records]
    assert keys == sorted(keys, reverse=ORDERS[order].descending)


@on_sqlite  # what is no key is known before the database is asked
@pytest.mark.parametrize("after", ["x\nx\nx\nx", "soon\nx", "-1\nx", "9" * 30 + "\nx", "\n", "²\nx"])
@pytest.mark.parametrize("order", ["", "registry", "newest"])
async def test_a_key_that_is_none_is_an_empty_page_or_the_first_one(alice: httpx2.AsyncClient, after: str, order: str) -> None:
    await store_credential(alice)
    page = await alice.get("/registry-credentials", params={"order": order, "after": after})
    assert page.status_code == 200
    assert names(page.text) in ([], ["ghcr-acme"])


async def test_another_accounts_records_are_in_no_list(house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await store_credential(charlie, name="charlies")
    for query in ("", "?q=char", "?q=char&in=names", "?order=newest", "?order=registry"):
        assert names((await alice.get(f"/registry-credentials{query}")).text) == []


async def test_agents_are_found_by_the_bootstrap_token_that_enrolled_them(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    token = await bootstrap_token(alice)
    accessor = token.split("_")[2]
    for name in ("rack-2", "rack-1"):
        assert (await enroll(house, token, name)).status_code == 201
    await enrolled(house, alice, "another")
    assert names((await alice.get("/agents", params={"q": accessor})).text) == ["rack-1", "rack-2"]
    assert names((await charlie.get("/agents", params={"q": accessor})).text) == []
