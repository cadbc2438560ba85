"""A service account key on its way in: looked at when it is chosen, stored byte for byte, refused with the reason, never repeated."""

import base64
import json

import httpx2
import pytest

from tests.markup import HTMX, beside, filled_in, names, summary
from tests.personas import House
from tests.real.service_account import service_account_key
from tests.stories import add_image, enrolled, id_in_list, provision

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a form takes

KEY = service_account_key()
PEM: str = json.loads(KEY)["private_key"]

FIELDS = {"name": "gcp", "registry_url": "us-docker.pkg.dev", "auth_method": "gcp_service_account_key"}

BAD = {
    "empty": (b"", "is empty"),
    "17 KiB": (KEY + b" " * (17 * 1024 - len(KEY)), "has 17408 bytes, and a key file has at most 16384"),
    "not UTF-8": (KEY.replace(b"acme", b"acm\xe9", 1), "is not UTF-8: byte"),
    "array": (b"[" + KEY + b"]", "is JSON, but an array and no object"),
    "only the private_key": (PEM.encode(), "is only the private key out of the JSON file"),
    "base64": (base64.encodebytes(KEY), "is base64 of the JSON file"),
    "BOM": (b"\xef\xbb\xbf" + KEY, "begins with a byte-order mark"),
    "UTF-16": (KEY.decode().encode("utf-16"), "begins with a byte-order mark"),
}
EACH_BAD = pytest.mark.parametrize(("content", "said"), BAD.values(), ids=list(BAD))


def file(content: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {"service_account_key_file": ("key.json", content, "application/json")}


def repeats_the_key(answer: httpx2.Response) -> bool:
    """Whether a line of the key is in the answer, as it is or in base64 of the whole file."""
    encoded = base64.b64encode(KEY).decode()
    lines = PEM.splitlines()[1:-1] + [encoded[start : start + 40] for start in range(0, len(encoded) - 40, 40)]
    return any(line in answer.text + repr(answer.headers) for line in lines)


@pytest.mark.parametrize("planted", [KEY, PEM.encode(), base64.b64encode(KEY)], ids=["file", "private_key", "base64"])
async def test_the_search_finds_a_key_that_is_planted(planted: bytes) -> None:
    assert repeats_the_key(httpx2.Response(200, content=b"before " + planted + b" after"))


async def handed_over(house: House, alice: httpx2.AsyncClient) -> tuple[str, str]:
    """The user name and the value that an agent is given."""
    credential_id = await id_in_list(alice, "/registry-credentials", "gcp")
    image_id = await add_image(alice, credential_id, docker_image_url="us-docker.pkg.dev/acme-images/machines/ubuntu")
    await alice.post("/settings", data={"default_image_id": image_id})
    auth = (await provision(house, (await enrolled(house, alice))[1])).json()["registry_auth"]
    return auth["username"], auth["password"]


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
async def test_a_good_file_is_told_by_its_project_and_address(house: House, alice: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    before = await house.audit()
    answer = await alice.post("/registry-credentials/key-upload", files=file(KEY), headers=headers)
    assert answer.status_code == 200
    status = '<p class="status good">Key of image-puller@acme-images.iam.gserviceaccount.com in project acme-images.'
    assert status in answer.text
    assert answer.text.startswith(status) == bool(headers)
    assert not repeats_the_key(answer)
    assert names((await alice.get("/registry-credentials")).text) == []
    assert await house.audit() == before, "nothing is kept of it"


@EACH_BAD
async def test_a_bad_file_is_refused_when_it_is_chosen(alice: httpx2.AsyncClient, content: bytes, said: str) -> None:
    answer = await alice.post("/registry-credentials/key-upload", files=file(content), headers=HTMX)
    assert answer.status_code == 422
    assert answer.text.startswith(f'<p class="status bad">The uploaded file {said}')
    assert not repeats_the_key(answer)


async def test_a_file_that_was_taken_away_again_is_no_empty_file(alice: httpx2.AsyncClient) -> None:
    # What a browser sends for a file input in which nothing is chosen (HTML, 4.10.22.4, constructing the entry list).
    nothing = {"service_account_key_file": ("", b"", "application/octet-stream")}
    answer = await alice.post("/registry-credentials/key-upload", files=nothing, headers=HTMX)
    assert answer.status_code == 422
    assert "No file is chosen." in answer.text


@EACH_BAD
async def test_a_bad_file_is_refused_when_it_is_saved(alice: httpx2.AsyncClient, content: bytes, said: str) -> None:
    answer = await alice.post("/registry-credentials", data=FIELDS, files=file(content))
    assert answer.status_code == 422
    sentence = beside(answer.text, "service_account_key_file")
    assert sentence.startswith(f"The uploaded file {said}")
    assert f"Service account key: {sentence}" in summary(answer.text)
    assert not repeats_the_key(answer)
    assert names((await alice.get("/registry-credentials")).text) == []


@pytest.mark.parametrize("bad", ["array", "only the private_key", "base64", "BOM", "17 KiB"])
async def test_a_bad_text_is_refused_and_the_editor_comes_back_empty(alice: httpx2.AsyncClient, bad: str) -> None:
    content, said = BAD[bad]
    answer = await alice.post("/registry-credentials", data=FIELDS | {"service_account_key": content.decode()}, headers=HTMX)
    assert answer.status_code == 422
    assert beside(answer.text, "service_account_key").startswith(f"The service account key {said}")
    assert filled_in(answer.text, "service_account_key") == ""
    assert not repeats_the_key(answer)


async def test_pasted_base64_is_told_to_paste_the_json_itself(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=FIELDS | {"service_account_key": base64.b64encode(KEY).decode()})
    assert beside(answer.text, "service_account_key").endswith(
        "Paste the JSON itself, from its first { to its last }, or upload the .json file."
    )


async def test_neither_pasted_nor_uploaded_is_an_error(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=FIELDS)
    assert answer.status_code == 422
    assert beside(answer.text, "service_account_key").startswith("Paste the JSON of the service account key, or upload")


async def test_both_pasted_and_uploaded_is_an_error(alice: httpx2.AsyncClient) -> None:
    answer = await alice.post("/registry-credentials", data=FIELDS | {"service_account_key": KEY.decode()}, files=file(KEY))
    assert answer.status_code == 422
    assert beside(answer.text, "service_account_key_file").startswith("There is a pasted text and an uploaded file.")
    assert not repeats_the_key(answer)
    assert names((await alice.get("/registry-credentials")).text) == []


@pytest.mark.parametrize(
    "content",
    [KEY, KEY.replace(b"\n", b"\r\n"), KEY.rstrip(b"\n"), b"\r\n " + KEY + b"\r\n\n", KEY.replace(b"\n", b"\r\n", 3)],
    ids=["LF", "CRLF", "no newline at the end", "blank lines around", "mixed"],
)
async def test_a_file_comes_out_at_the_agent_byte_for_byte(house: House, alice: httpx2.AsyncClient, content: bytes) -> None:
    answer = await alice.post("/registry-credentials", data=FIELDS | {"username": "ignored"}, files=file(content))
    assert answer.status_code == 303
    username, value = await handed_over(house, alice)
    assert username == "_json_key"
    assert value.encode() == content


async def test_a_pasted_text_has_lf_whatever_the_browser_sent(house: House, alice: httpx2.AsyncClient) -> None:
    page = (await alice.get("/registry-credentials/new")).text
    assert "Pasted line ends become LF; an uploaded file is kept byte for byte." in page
    pasted = KEY.replace(b"\n", b"\r\n").decode()
    assert (await alice.post("/registry-credentials", data=FIELDS | {"service_account_key": pasted})).status_code == 303
    assert (await handed_over(house, alice))[1].encode() == KEY


async def test_an_uploaded_key_replaces_the_stored_one(house: House, alice: httpx2.AsyncClient) -> None:
    await alice.post("/registry-credentials", data=FIELDS | {"service_account_key": KEY.decode()})
    credential_id = await id_in_list(alice, "/registry-credentials", "gcp")
    other = service_account_key(crlf=True)
    answer = await alice.post(f"/registry-credentials/{credential_id}", data=FIELDS | {"version": "1"}, files=file(other))
    assert answer.status_code == 303
    assert (await house.store.credentials.get(house.alice.actor, credential_id)).secret_version == 2
    assert (await handed_over(house, alice))[1].encode() == other
