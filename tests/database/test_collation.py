"""Lists on a PostgreSQL that orders text as people do, which is what many clusters are made with: pages follow one another all the same."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.engines import Engine, engine_of
from tests.personas import House
from tests.stories import add_image
from webapp import records
from webapp.names import key_of
from webapp.records import Page, Wanted

pytestmark = pytest.mark.anyio

NAMES = ("Zulu", "a b", "a-b", "ab", "a_b", "aé", "az", "B", "éclair", "e-1", "10", "9", "a😀")


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    yield from engine_of("postgresql", request, tmp_path, icu_locale="en-US")


async def pages(house: House, query: str = "") -> list[str]:
    """The names of all pages, one behind the other."""
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page: Page = await house.store.images.page(house.alice.actor, Wanted(query, after))  # type: ignore[type-arg]
        found += [image.name for image in page.records]
        after = page.after
    return found


async def test_pages_and_searches_are_in_the_order_of_bytes(
    house: House, alice: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        await add_image(alice, name=name, docker_image_url="nginx")
    monkeypatch.setattr(records, "PAGE", 3)
    expected = sorted((name for name in NAMES), key=lambda name: key_of(name).encode())
    others = await house.store.database.fetch_all('SELECT name FROM images ORDER BY name_key COLLATE "default"')
    assert [row["name"] for row in others] != expected, "the database's own order is another one"
    assert await pages(house) == expected
    for many in (3, 20_000):
        monkeypatch.setattr(records, "MANY", many)
        assert await pages(house, "A") == [name for name in expected if key_of(name).startswith("a") or (many > 3 and "a" in key_of(name))]
