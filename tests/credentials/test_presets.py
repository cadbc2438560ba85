"""Presets: what they fill in and what they leave alone, and that a secret never goes along."""

import httpx2
import pytest

from tests.markup import HTMX, filled_in, says, tag
from tests.real.canary import CANARY, found_in
from tests.stories import store_credential
from webapp.credentials.presets import PRESETS, Preset, preset_for
from webapp.reference import RegistryHost

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a form is filled with


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
async def test_each_fills_the_form_in_and_says_which_token_to_make(alice: httpx2.AsyncClient, preset: Preset) -> None:
    page = (await alice.get("/registry-credentials/new", params={"preset": preset.key})).text
    assert preset.token in says(page)
    assert f'value="{preset.key}" selected' in page
    assert filled_in(page, "registry_url") == preset.host
    assert f'value="{preset.method}" checked' in page
    assert preset.host in ("", RegistryHost.parse(preset.host or "x.example").host)


async def test_one_that_there_is_not_is_the_empty_form(alice: httpx2.AsyncClient) -> None:
    page = (await alice.get("/registry-credentials/new?preset=nonsense")).text
    assert filled_in(page, "registry_url") == ""
    assert "nonsense" not in page


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ({"registry_url": ""}, "quay.io"),
        ({"registry_url": "registry.example"}, "registry.example"),
        ({"registry_url": "ghcr.io"}, "ghcr.io"),
        ({"registry_url": "ghcr.io", "chosen_preset": "ghcr"}, "quay.io"),
        ({"registry_url": "ghcr.io", "chosen_preset": "nonsense"}, "ghcr.io"),
    ],
    ids=["nothing was typed", "something was typed", "the same was typed", "a preset before filled it in", "no preset before"],
)
async def test_with_script_what_was_typed_stays(alice: httpx2.AsyncClient, typed: dict[str, str], host: str) -> None:
    form = {
        "preset": "quay",
        "name": "mine",
        "description": "d",
        "username": "acme+puller",
        "auth_method": "password",
        "expires_on": "2027-01-01",
    }
    answer = await alice.post("/registry-credentials/preset", data=form | typed, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert filled_in(answer.text, "registry_url") == host
    for name in ("name", "description", "username", "expires_on"):
        assert filled_in(answer.text, name) == form[name]
    assert "hx-preserve" in tag(answer.text, "password"), "the secret stays where it was typed"


async def test_another_method_does_not_take_the_secret_along(alice: httpx2.AsyncClient) -> None:
    form = {"preset": "ecr", "auth_method": "password", "password": CANARY, "access_key_id": "AKIAIOSFODNN7EXAMPLE"}
    answer = await alice.post("/registry-credentials/preset", data=form, headers=HTMX)
    assert "hx-preserve" not in answer.text
    assert filled_in(answer.text, "access_key_id") == "AKIAIOSFODNN7EXAMPLE"
    assert found_in(answer.content, CANARY) == []


async def test_choosing_none_again_empties_nothing_else(alice: httpx2.AsyncClient) -> None:
    form = {"preset": "", "chosen_preset": "quay", "registry_url": "quay.io", "name": "mine", "auth_method": "password"}
    answer = await alice.post("/registry-credentials/preset", data=form, headers=HTMX)
    assert (filled_in(answer.text, "name"), filled_in(answer.text, "registry_url")) == ("mine", "quay.io")
    assert "Make a robot account" not in answer.text


async def test_an_error_keeps_the_preset(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data={"chosen_preset": "quay", "registry_url": "quay.io"})
    assert answer.status_code == 422
    assert 'value="quay" selected' in answer.text
    assert "Make a robot account" in answer.text


async def test_the_edit_page_says_which_token_to_make_for_its_host(alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice)
    page = (await alice.get(f"/registry-credentials/{credential_id}")).text
    assert "read:packages" in page
    assert "field-preset" not in page


async def test_a_viewer_gets_none(bob: httpx2.AsyncClient) -> None:
    assert (await bob.post("/registry-credentials/preset", data={"preset": "quay"})).status_code == 403


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("ghcr.io", "ghcr"),
        ("docker.io", "docker-hub"),
        ("registry-1.docker.io", "docker-hub"),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "ecr"),
        ("europe-west3-docker.pkg.dev", "artifact-registry"),
        ("eu.gcr.io", "artifact-registry"),
        ("acme.azurecr.io", "acr"),
        ("quay.io", "quay"),
        ("registry.gitlab.com", "gitlab"),
        ("registry.example:5000", ""),
        ("docker.io.example", ""),
        ("notazurecr.io", ""),
    ],
)
def test_a_host_may_tell_which_one_it_is(host: str, key: str) -> None:
    found = preset_for(host)
    assert (found.key if found else "") == key
