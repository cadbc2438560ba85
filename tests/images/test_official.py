"""Official images: the file that they come from, what is wrong with one, and that everybody sees and nobody changes them."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.markup import HTMX, link, names, says
from tests.personas import House, settings_in
from tests.stories import add_image, enrolled, id_in_list, provision
from webapp.database import is_postgresql
from webapp.errors import ConfigurationError
from webapp.images.official import load_official_images, read_official_images
from webapp.store import open_store

pytestmark = pytest.mark.anyio

DEBIAN = {"name": "Debian 12", "docker_image_url": "debian:12", "description": "The stable one"}
ALPINE = {"name": "Alpine", "docker_image_url": "quay.io/alpine/alpine:3"}


def file_of(folder: Path, entries: Any) -> Path:
    path = folder / "official.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries), encoding="utf-8")
    return path


async def start_with(house: House, folder: Path, *entries: dict[str, str]) -> None:
    """What a start with this file does to the store."""
    await load_official_images(house.store.database, file_of(folder, list(entries)), house.clock())


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError, match=r"^WEBAPP_OFFICIAL_IMAGES_FILE: .+\.$") as caught:
        read_official_images(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_good_file_is_read_into_canonical_references(tmp_path: Path) -> None:
    images = read_official_images(file_of(tmp_path, [DEBIAN, ALPINE]))
    assert [(image.name, image.docker_image_url, image.reference, image.host, image.description) for image in images] == [
        ("Debian 12", "debian:12", "docker.io/library/debian:12", "docker.io", "The stable one"),
        ("Alpine", "quay.io/alpine/alpine:3", "quay.io/alpine/alpine:3", "quay.io", ""),
    ]


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("", "is not JSON in UTF-8"),
        ("{", "is not JSON in UTF-8"),
        ({"images": []}, "has to be a JSON array of images."),
        ([DEBIAN, "nginx"], "entry 2: has to be an object with name and docker_image_url."),
        ([{"docker_image_url": "nginx"}], "entry 1: Enter a name."),
        ([DEBIAN, {"name": "x"}], "entry 2: "),
        ([{"name": 12, "docker_image_url": "nginx"}], "entry 1: name has to be a string."),
        ([{"name": "x", "docker_image_url": None}], "entry 1: docker_image_url has to be a string."),
        ([DEBIAN | {"description": ["x"]}], "entry 1: description has to be a string."),
        ([DEBIAN | {"description": "x" * 501}], "entry 1: The description has 501 characters."),
        ([{"name": "x", "docker_image_url": "https://ghcr.io/x"}], "entry 1: A Docker Image URL has no scheme"),
        ([DEBIAN, ALPINE, DEBIAN | {"name": "DEBIAN 12"}], "entry 3: the name DEBIAN 12 is there twice."),
    ],
)
def test_it_names_the_entry_that_is_wrong_and_says_how(tmp_path: Path, entries: Any, said: str) -> None:
    assert said in refusal(file_of(tmp_path, entries))


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "nowhere.json")
    (tmp_path / "official.json").write_bytes(b'["\xff"]')
    assert "is not JSON in UTF-8" in refusal(tmp_path / "official.json")


async def test_a_store_does_not_open_with_a_bad_file(tmp_path: Path) -> None:
    path = file_of(tmp_path, [{"name": "x", "docker_image_url": "UPPER/case"}])
    with pytest.raises(ConfigurationError, match=r"WEBAPP_OFFICIAL_IMAGES_FILE: .* entry 1: "):
        async with open_store(settings_in(tmp_path, WEBAPP_OFFICIAL_IMAGES_FILE=str(path))):
            pass


async def test_a_bad_file_leaves_what_was_there(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await start_with(house, tmp_path, DEBIAN)
    with pytest.raises(ConfigurationError):
        await start_with(house, tmp_path, ALPINE, {"name": "x"})
    assert names((await alice.get("/images")).text) == ["Debian 12"]


async def test_every_account_sees_them_with_a_badge_and_a_filter(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, tmp_path: Path
) -> None:
    assert "No official images" in (await alice.get("/images?kind=official")).text
    await start_with(house, tmp_path, DEBIAN, ALPINE)
    await add_image(alice, name="Custom", docker_image_url="nginx")
    shown = {kind: names((await alice.get("/images", params={"kind": kind})).text) for kind in ("", "official", "custom", "nonsense")}
    assert shown == {
        "": ["Alpine", "Custom", "Debian 12"],
        "official": ["Alpine", "Debian 12"],
        "custom": ["Custom"],
        "nonsense": ["Alpine", "Custom", "Debian 12"],
    }
    assert names((await charlie.get("/images")).text) == ["Alpine", "Debian 12"]
    page = (await alice.get("/images?kind=official&q=deb")).text
    assert names(page) == ["Debian 12"]
    assert '<span class="badge official">Official</span>' in page
    assert '<a href="/images?kind=official" aria-current="true">Official</a>' in page
    assert "Actions for" not in page, "there is nothing to press"
    assert "Official</span>" not in (await alice.get("/images?kind=custom", headers=HTMX)).text


async def test_its_page_says_what_it_is_and_has_no_form(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await start_with(house, tmp_path, DEBIAN)
    image_id = await id_in_list(alice, "/images", "Debian 12")
    for headers in ({}, HTMX):
        page = (await alice.get(f"/images/{image_id}", headers=headers)).text
        assert all(words in says(page) for words in ("Official images are read-only.", "debian:12", "The stable one", "0 agents"))
        assert f'action="/images/{image_id}"' not in page
        assert link(page, "Delete") is None


@pytest.mark.parametrize("fields", [{"name": "mine", "docker_image_url": "nginx"}, {"name": ""}], ids=["good form", "bad form"])
async def test_nobody_changes_or_deletes_one(house: House, alice: httpx2.AsyncClient, tmp_path: Path, fields: dict[str, str]) -> None:
    await start_with(house, tmp_path, DEBIAN)
    image_id = await id_in_list(alice, "/images", "Debian 12")
    before = await house.store.images.get(house.alice.actor, image_id)
    answers = [
        await alice.post(f"/images/{image_id}", data=fields),
        await alice.get(f"/images/{image_id}/delete"),
        await alice.post(f"/images/{image_id}/delete"),
    ]
    for answer in answers:
        assert answer.status_code == 403
        assert "Official images are read-only. Create an image of your own" in answer.text
    assert await house.store.images.get(house.alice.actor, image_id) == before
    assert await house.audit() == []


async def test_an_account_may_have_an_image_of_the_same_name(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await start_with(house, tmp_path, DEBIAN)
    await alice.post("/images", data={"name": "Debian 12", "docker_image_url": "debian:12"})
    assert names((await alice.get("/images")).text) == ["Debian 12", "Debian 12"]


async def test_a_changed_entry_keeps_its_id_and_those_that_use_it(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await start_with(house, tmp_path, DEBIAN)
    image_id = await id_in_list(alice, "/images", "Debian 12")
    await alice.post("/settings", data={"default_image_id": image_id})
    _, token = await enrolled(house, alice)
    await start_with(house, tmp_path, {"name": "DEBIAN 12", "docker_image_url": "debian:12.7"})
    assert await id_in_list(alice, "/images", "DEBIAN 12") == image_id
    assert (await provision(house, token)).json()["image"] == {
        "name": "DEBIAN 12",
        "reference": "docker.io/library/debian:12.7",
    }


async def test_one_that_is_out_of_the_file_is_gone(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await start_with(house, tmp_path, DEBIAN, ALPINE)
    image_id = await id_in_list(alice, "/images", "Debian 12")
    await start_with(house, tmp_path, ALPINE)
    assert names((await alice.get("/images")).text) == ["Alpine"]
    assert (await alice.get(f"/images/{image_id}")).status_code == 404
    await load_official_images(house.store.database, None, house.clock())
    assert names((await alice.get("/images")).text) == []


async def test_one_that_is_used_is_withdrawn_until_it_comes_back(house: House, alice: httpx2.AsyncClient, tmp_path: Path) -> None:
    await start_with(house, tmp_path, DEBIAN)
    image_id = await id_in_list(alice, "/images", "Debian 12")
    agent_id, token = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image_id})
    for _ in range(2):
        await start_with(house, tmp_path)
        assert names((await alice.get("/images")).text) == [], "nobody chooses it any more"
        page = (await alice.get(f"/images/{image_id}")).text
        assert '<span class="badge warn">Withdrawn</span>' in page
        refused = await provision(house, token)
        assert refused.status_code == 409
        assert refused.json()["type"].endswith("/image-withdrawn")
    await start_with(house, tmp_path, DEBIAN)
    assert names((await alice.get("/images")).text) == ["Debian 12"]
    assert (await provision(house, token)).status_code == 200


async def test_a_command_that_was_told_of_no_file_leaves_them_as_they_are(house: House, tmp_path: Path) -> None:
    await start_with(house, tmp_path, DEBIAN, ALPINE)
    before = await house.store.database.fetch_all("SELECT id, withdrawn_at FROM images ORDER BY id")
    if is_postgresql(house.settings.database_url):  # elsewhere it runs in the server
        async with open_store(house.settings, clock=house.clock, patience=True):
            pass
    assert len(before) == 2
    assert await house.store.database.fetch_all("SELECT id, withdrawn_at FROM images ORDER BY id") == before
