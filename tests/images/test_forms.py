"""Making an image: what the form takes, what it says of the rest, and which registry credentials it offers first."""

import asyncio
import re
from html import unescape

import httpx2
import pytest

from tests.markup import HTMX, beside, filled_in, hidden, names, summary
from tests.personas import House
from tests.stories import add_image, id_in_list, store_credential
from webapp.images.forms import ImageForm

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a form takes

PAGE_OR_FRAGMENT = pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
HUB_HOSTS = ["docker.io", "index.docker.io", "registry-1.docker.io"]
DIGEST = "sha256:" + "0123456789abcdef" * 4

GOOD = {
    "name": "ubuntu-custom",
    "description": "for the racks",
    "docker_image_url": "ghcr.io/acme/ubuntu:24.04",
    "registry_credential_id": "",
}


async def offered(client: httpx2.AsyncClient, reference: str, chosen: str = "") -> dict[str, list[str]]:
    """The registry credentials to choose from for this reference, by the heading that they stand under ("" for none)."""
    query = {"docker_image_url": reference, "registry_credential_id": chosen}
    field = (await client.get("/images/credential-options", params=query, headers=HTMX)).text
    groups = {"": re.sub(r"<optgroup.*</optgroup>", "", field, flags=re.DOTALL)}
    groups |= dict(re.findall(r'<optgroup label="([^"]*)">(.*?)</optgroup>', field, re.DOTALL))
    return {unescape(label): [unescape(name) for name in re.findall(r"<option[^>]*>([^<]*)<", inner)] for label, inner in groups.items()}


@PAGE_OR_FRAGMENT
async def test_a_good_form_is_an_image(alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice)
    answer = await alice.post("/images", data=GOOD | {"registry_credential_id": credential_id}, headers=headers)
    assert (answer.status_code, answer.headers["hx-redirect" if headers else "location"]) == (200 if headers else 303, "/images")
    page = (await alice.get("/images")).text
    assert "Image created." in page
    assert names(page) == ["ubuntu-custom"]
    assert '<code class="host">ghcr.io/acme/ubuntu:24.04</code>' in page
    assert f'<a href="/registry-credentials/{credential_id}">ghcr-acme</a>' in page


@pytest.mark.parametrize(
    ("typed", "reference"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        (" nginx ", "docker.io/library/nginx:latest"),
        ("acme/ubuntu:24.04", "docker.io/acme/ubuntu:24.04"),
        ("index.docker.io/acme/ubuntu", "docker.io/acme/ubuntu:latest"),
        ("GHCR.io/acme/ubuntu", "ghcr.io/acme/ubuntu:latest"),
        ("localhost:5000/a/b/c", "localhost:5000/a/b/c:latest"),
        (f"ghcr.io/acme/ubuntu@{DIGEST}", f"ghcr.io/acme/ubuntu@{DIGEST}"),
        (f"ghcr.io/acme/ubuntu:24.04@{DIGEST}", f"ghcr.io/acme/ubuntu:24.04@{DIGEST}"),
    ],
)
async def test_a_reference_is_shown_as_typed_and_in_full(alice: httpx2.AsyncClient, typed: str, reference: str) -> None:
    image_id = await add_image(alice, docker_image_url=typed)
    page = (await alice.get(f"/images/{image_id}")).text
    assert filled_in(page, "docker_image_url") == typed.strip()
    assert f'<dt>Reference</dt><dd><code class="host">{reference}</code></dd>' in page


@PAGE_OR_FRAGMENT
@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("name", "", "Enter a name."),
        ("name", "x" * 64, "Use at most 63."),
        ("description", "x" * 501, "Use at most 500."),
        ("docker_image_url", "", "Enter"),
        ("docker_image_url", "https://ghcr.io/acme/ubuntu", "has no scheme"),
        ("docker_image_url", "acme:pw@ghcr.io/acme/ubuntu", "holds no user name and no password"),
        ("docker_image_url", "ghcr.io/acme/ubuntu 24", "Character 20 of the Docker Image URL is a space."),
        ("docker_image_url", "ghcr.io/Acme/ubuntu", "has upper-case letters"),
        ("docker_image_url", "Acme/ubuntu", "because of its upper-case letters"),
        ("docker_image_url", "ghcr.io/acme//ubuntu", "a slash too many"),
        ("docker_image_url", "ghcr.io/acme/ubuntu:", "is no tag"),
        ("docker_image_url", "ghcr.io/acme/ubuntu:a/b", "is no tag"),
        ("docker_image_url", "ghcr.io/acme/ubuntu@sha256:12", "is no digest"),
        ("docker_image_url", "ghcr.io:0/acme/ubuntu", "a number from 1 to 65535"),
        ("docker_image_url", "0123456789abcdef" * 4, "an image's id and no name"),
        ("registry_credential_id", "0" * 32, "There is no such registry credential any more."),
    ],
)
async def test_it_says_beside_the_field_what_would_be_right(
    house: House, alice: httpx2.AsyncClient, field: str, typed: str, said: str, headers: dict[str, str]
) -> None:
    answer = await alice.post("/images", data=GOOD | {field: typed}, headers=headers)
    assert answer.status_code == 422
    assert ("<html" in answer.text) == (not headers)
    assert said in beside(answer.text, field)
    assert said in summary(answer.text)
    assert f'<a href="#field-{field.replace("_", "-")}">' in answer.text
    for name, value in (GOOD | {field: typed}).items():
        assert name == field or not beside(answer.text, name)
        assert name == "registry_credential_id" or filled_in(answer.text, name) == value, "what was typed is still there"
    assert await house.audit() == []


@PAGE_OR_FRAGMENT
@pytest.mark.parametrize(
    ("host", "reference", "at"),
    [
        ("ghcr.io", "quay.io/acme/ubuntu", "quay.io"),
        ("ghcr.io", "acme/ubuntu", "docker.io"),
        ("docker.io", "ghcr.io/acme/ubuntu", "ghcr.io"),
        ("ghcr.io:443", "ghcr.io/acme/ubuntu", "ghcr.io"),
    ],
)
async def test_a_credential_of_another_host_is_refused_with_both_hosts_named(
    house: House, alice: httpx2.AsyncClient, host: str, reference: str, at: str, headers: dict[str, str]
) -> None:
    credential_id = await store_credential(alice, registry_url=host)
    answer = await alice.post(
        "/images", data=GOOD | {"docker_image_url": reference, "registry_credential_id": credential_id}, headers=headers
    )
    assert answer.status_code == 422
    said = beside(answer.text, "registry_credential_id")
    assert said.startswith(f"The registry credential ghcr-acme is for {host}, and the image is at {at}.")
    assert said in summary(answer.text)
    assert f'<option value="{credential_id}" selected>' in answer.text, "what was chosen is still there"
    assert names((await alice.get("/images")).text) == []
    assert (await house.store.credentials.get(house.alice.actor, credential_id)).images == 0


async def test_name_and_credential_are_refused_in_one_answer(alice: httpx2.AsyncClient) -> None:
    credential_id = await store_credential(alice, registry_url="quay.io")
    await add_image(alice, name="Ubuntu-Custom")
    answer = await alice.post("/images", data=GOOD | {"registry_credential_id": credential_id})
    assert answer.status_code == 422
    assert beside(answer.text, "name") == "Another image of this account has this name. Choose another one."
    assert "is for quay.io" in beside(answer.text, "registry_credential_id")
    assert summary(answer.text).startswith("Not saved Name: Another image")


@pytest.mark.parametrize("host", HUB_HOSTS)
@pytest.mark.parametrize("reference", ["acme/ubuntu", *(f"{host}/acme/ubuntu" for host in HUB_HOSTS)])
async def test_the_names_of_docker_hub_are_one_host(alice: httpx2.AsyncClient, host: str, reference: str) -> None:
    credential_id = await store_credential(alice, registry_url=host)
    assert await offered(alice, reference) == {
        "": ["None (public image)"],
        "For this image’s registry": [f"ghcr-acme – {host} – never used"],
    }
    assert await add_image(alice, credential_id, docker_image_url=reference)


async def test_the_credentials_of_the_images_own_host_come_first(alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient) -> None:
    await store_credential(charlie, name="of-charlie", registry_url="ghcr.io")
    for name, host in (("z", "ghcr.io"), ("b", "ghcr.io"), ("a", "quay.io"), ("c", "docker.io")):
        await store_credential(alice, name=name, registry_url=host)
    everything = [
        "None (public image)",
        "a – quay.io – never used",
        "b – ghcr.io – never used",
        "c – docker.io – never used",
        "z – ghcr.io – never used",
    ]
    assert await offered(alice, "") == {"": everything}
    assert await offered(alice, "not a reference") == {"": everything}
    assert await offered(alice, "xyz.example/acme/ubuntu") == {"": everything}
    assert await offered(alice, "ghcr.io/acme/ubuntu") == {
        "": ["None (public image)"],
        "For this image’s registry": ["b – ghcr.io – never used", "z – ghcr.io – never used"],
        "For other registries": ["a – quay.io – never used", "c – docker.io – never used"],
    }


@PAGE_OR_FRAGMENT
async def test_the_choice_stays_while_the_reference_is_typed(alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    credential_id = await store_credential(alice)
    query = {"docker_image_url": "quay.io/acme/ubuntu", "registry_credential_id": credential_id}
    answer = await alice.get("/images/credential-options", params=query, headers=headers)
    assert ("<html" in answer.text) == (not headers)
    assert f'<option value="{credential_id}" selected>ghcr-acme – ghcr.io – never used</option>' in answer.text


async def test_another_accounts_credential_is_not_there_to_choose(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    credential_id = await store_credential(charlie, name="of-charlie")
    answer = await alice.post("/images", data=GOOD | {"registry_credential_id": credential_id})
    assert answer.status_code == 422
    assert "There is no such registry credential any more." in beside(answer.text, "registry_credential_id")
    assert "charlie" not in answer.text
    assert (await house.store.credentials.get(house.charlie.actor, credential_id)).images == 0


@PAGE_OR_FRAGMENT
async def test_a_double_submit_is_one_image_and_leads_to_it(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    await add_image(alice, name="aaa")
    form = GOOD | {"form_nonce": hidden((await alice.get("/images/new")).text, "form_nonce")}
    await alice.post("/images", data=form, headers=headers)
    before = await house.audit()
    for again in (form, form | {"name": "another", "docker_image_url": "nginx"}):
        answer = await alice.post("/images", data=again, headers=headers)
        page = (await alice.get(answer.headers["hx-redirect" if headers else "location"])).text
        assert names(page) == ["ubuntu-custom"]
        assert "This form was sent before." in page
    assert names((await alice.get("/images")).text) == ["aaa", "ubuntu-custom"]
    assert await house.audit() == before


async def test_two_at_the_same_moment_are_one_image(alice: httpx2.AsyncClient) -> None:
    form = GOOD | {"form_nonce": hidden((await alice.get("/images/new")).text, "form_nonce")}
    answers = await asyncio.gather(*(alice.post("/images", data=form) for _ in range(4)))
    assert sorted(answer.headers["location"] for answer in answers) == ["/images"] + ["/images?q=ubuntu-custom"] * 3


async def test_a_form_with_errors_does_not_spend_the_nonce(alice: httpx2.AsyncClient) -> None:
    await add_image(alice, name="taken")
    nonce = hidden((await alice.get("/images/new")).text, "form_nonce")
    for wrong in ({"name": "taken"}, {"docker_image_url": "?"}):
        answer = await alice.post("/images", data=GOOD | {"form_nonce": nonce} | wrong)
        assert (answer.status_code, hidden(answer.text, "form_nonce")) == (422, nonce)
    await alice.post("/images", data=GOOD | {"form_nonce": nonce})
    assert names((await alice.get("/images")).text) == ["taken", "ubuntu-custom"]
    assert await id_in_list(alice, "/images", "ubuntu-custom")


def test_a_parsed_form_has_the_canonical_reference_and_its_host() -> None:
    fields, errors = ImageForm(" Ubuntu ", "", "acme/ubuntu ", "").parse()
    assert errors == {}
    assert fields is not None
    assert (fields.name, fields.name_key, fields.docker_image_url) == ("Ubuntu", "ubuntu", "acme/ubuntu")
    assert (fields.reference, fields.host, fields.credential_id) == ("docker.io/acme/ubuntu:latest", "docker.io", None)
