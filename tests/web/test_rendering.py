"""One URL, page or fragment: which of the two, what stands in both, and what follows a form."""

import re
from itertools import product

import httpx2
import pytest
from starlette.requests import Request

from tests.personas import House
from tests.stories import add_image, enrolled, store_credential
from webapp.web.rendering import VARY, done

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # how it looks

HTMX = {"HX-Request": "true"}
THREE = ("HX-Request", "HX-Boosted", "HX-History-Restore-Request")

FORMS = ["/registry-credentials/new", "/images/new", "/agents/bootstrap-tokens/new", "/settings"]
LISTS = ["/registry-credentials", "/images", "/agents", "/audit"]


def is_page(answer: httpx2.Response) -> bool:
    return answer.text.lstrip().startswith("<!doctype html>")


@pytest.mark.parametrize("sent", list(product([False, True], repeat=3)), ids=lambda sent: "-".join(f"{each:d}" for each in sent))
@pytest.mark.parametrize("path", ["/images", "/images/new", "/nowhere"])
async def test_a_fragment_is_for_htmx_that_asks_for_a_part(alice: httpx2.AsyncClient, path: str, sent: tuple[bool, bool, bool]) -> None:
    answer = await alice.get(path, headers={name: "true" for name, there in zip(THREE, sent, strict=True) if there})
    assert is_page(answer) == (sent != (True, False, False))
    assert answer.headers["vary"] == VARY == ", ".join(THREE)


@pytest.mark.parametrize("path", [*LISTS, *FORMS])
async def test_the_page_includes_the_very_fragment(house: House, alice: httpx2.AsyncClient, path: str) -> None:
    await add_image(alice, await store_credential(alice))
    await enrolled(house, alice)
    nonce = re.compile(r'(name="form_nonce" value=")[^"]*')
    whole, part = [nonce.sub(r"\1", (await alice.get(path, headers=headers)).text) for headers in ({}, HTMX)]
    if path == "/registry-credentials/new":  # with script, only the fields of the chosen method
        assert 'id="credentials-form"' in part
        assert 'id="credentials-form"' in whole
    else:
        assert part.strip() in whole
    assert re.search(r'id="[a-z-]+"', part), "htmx has something to swap"


@pytest.mark.parametrize("path", ["/images", "/agents/bootstrap-tokens", "/registry-credentials"])
async def test_a_form_with_errors_comes_back_as_what_it_was(alice: httpx2.AsyncClient, path: str) -> None:
    for headers in ({}, HTMX):
        answer = await alice.post(path, data={"name": "\u202e", "lifetime": "x"}, headers=headers)
        assert (answer.status_code, answer.headers["vary"]) == (422, VARY)
        assert is_page(answer) == (not headers)
        assert 'role="alert"' in answer.text


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
@pytest.mark.parametrize(
    ("path", "data", "status", "says"),
    [
        ("/agents/{agent}", {}, 409, "is revoked. Enrol the machine again"),
        ("/images", {"name": "x" * 70_000}, 413, "longer than the limit"),
        ("/images/0", {}, 404, "no such image"),
    ],
)
async def test_an_error_is_a_sentence_where_htmx_swaps_it_and_where_the_script_shows_it(
    house: House, alice: httpx2.AsyncClient, path: str, data: dict[str, str], status: int, says: str, headers: dict[str, str]
) -> None:
    agent_id, _ = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}/revoke")
    answer = await alice.post(path.format(agent=agent_id), data=data, headers=headers)
    assert (answer.status_code, answer.headers["vary"]) == (status, VARY)
    assert is_page(answer) == (not headers), "a whole page inside of a form would be a page in a page"
    sentence = re.search(r"<p [^>]*data-error>([^<]+) <span", answer.text)
    assert sentence is not None
    assert says in sentence[1]


async def test_the_error_page_leads_on(stranger: httpx2.AsyncClient, alice: httpx2.AsyncClient) -> None:
    for browser, link in ((stranger, "/login"), (alice, "/registry-credentials")):
        page = (await browser.get("/nowhere")).text
        assert f'<a class="button" href="{link}">' in page
        assert "Error 404" in page


async def test_after_a_form_a_browser_goes_on_and_htmx_is_told_to(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, _ = await enrolled(house, alice)
    plain = await alice.post(f"/agents/{agent_id}", data={"image_id": ""})
    assert (plain.status_code, plain.headers["location"], plain.headers["vary"]) == (303, f"/agents/{agent_id}", VARY)
    told = await alice.post(f"/agents/{agent_id}", data={"image_id": ""}, headers=HTMX)
    assert (told.status_code, told.headers["hx-redirect"], told.headers["vary"]) == (200, f"/agents/{agent_id}", VARY)
    assert told.content == b""


async def test_a_notice_is_shown_once_and_in_a_page(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, _ = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}", data={"image_id": ""})
    assert alice.cookies["notice"] == "agent-saved", "a code, and no text of anybody's"
    assert "Agent saved." not in (await alice.get("/agents", headers=HTMX)).text
    assert "Agent saved." in (await alice.get("/agents")).text
    assert "Agent saved." not in (await alice.get("/agents")).text


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "no-such-notice", "Agent saved."])
async def test_a_notice_that_somebody_wrote_is_not_shown(alice: httpx2.AsyncClient, text: str) -> None:
    alice.cookies.set("notice", text)
    page = (await alice.get("/images")).text
    assert text not in page
    assert '<p class="notice">' not in page


def test_a_notice_that_is_none_is_a_mistake_of_ours() -> None:
    with pytest.raises(RuntimeError, match="no-such"):
        done(Request({"type": "http", "headers": []}), "/images", "no-such")


async def test_what_people_type_is_text_and_no_markup(alice: httpx2.AsyncClient) -> None:
    name = "<img src=x onerror=alert(1)>\"'&"
    await alice.post("/images", data={"name": name, "docker_image_url": "nginx", "description": name})
    answers = [await alice.get(path, params={"q": name}) for path in ("/images", "/registry-credentials", "/agents", "/audit")]
    answers.append(await alice.post("/images", data={"name": name, "docker_image_url": name}))
    for answer in answers:
        assert "&lt;img" in answer.text
        assert "<img" not in answer.text


@pytest.mark.parametrize("target", ["/images?q=日本", "/images/ñ?q=%E6%97%A5", "/images?a=b&c=d#é"])
async def test_a_path_beyond_latin_1_is_gone_to_with_htmx_and_without(alice: httpx2.AsyncClient, target: str) -> None:
    answers = [await alice.get("/login", params={"next": target}, headers=headers) for headers in ({}, HTMX)]
    assert answers[0].status_code == 303
    assert answers[1].headers["hx-redirect"] == answers[0].headers["location"]
    assert answers[0].headers["location"].isascii()
    assert answers[0].headers["location"].startswith("/images")
