"""The session's cookie, over http and over https, and where a sign-in may lead."""

from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import Response

from tests.engines import on_sqlite
from tests.personas import House, settings_in
from webapp.web.sessions import clear_session_cookie, local_path, set_cookie, set_session_cookie

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a cookie may hold

OURS = "http://127.0.0.1:8000"

TRICKS = [
    "",
    "images",
    "./images",
    "https://evil.example/",
    "HTTPS://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/images\\..\\x",
    "/\t/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "/\n/evil.example",
    "\r\n/images",
    "/images\r\nSet-Cookie: x=y",
    "/\x00/evil.example",
    "/\x7f",
    "@evil.example",
    ":80/",
    "?next=/images",
    "#images",
]


@pytest.mark.parametrize("text", TRICKS)
def test_a_trick_leads_nowhere(text: str) -> None:
    assert local_path(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "/",
        "/images",
        "/images?q=x&after=y",
        "/images/0a?next=https://evil.example/",
        "/audit#x",
        "/%2Fevil.example",
        "/a:b@c",
        "/images?q=!é~",
    ],
)
def test_a_path_of_ours_is_gone_to(text: str) -> None:
    assert local_path(text) == text


@given(st.text(alphabet="/\\:.?#@%evilhtps \t\r\n\x00é", max_size=12))
@example("/x//evil")
@example("/.//evil")
def test_whatever_it_lets_through_stays_here(text: str) -> None:
    path = local_path(text)
    if path is not None:
        # What a browser does first: drop tabs and line ends, take a backslash for a slash (URL Standard, section 4.4).
        as_read = "".join(c for c in path if c not in "\t\r\n").strip("".join(map(chr, range(33)))).replace("\\", "/")
        assert urlsplit(urljoin(OURS + "/login", as_read)).netloc == "127.0.0.1:8000"


def cookie(response: Response) -> tuple[str, dict[str, str]]:
    """The cookie that the answer sets: its name, and its attributes as far as it has them."""
    (name, morsel), *others = SimpleCookie(response.headers["set-cookie"]).items()
    assert not others
    return name, {key: str(value) for key, value in morsel.items() if value}


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [(OURS, "session", {}), ("http://localhost:8000", "session", {}), ("https://keys.example", "__Host-session", {"secure": "True"})],
)
def test_the_public_url_decides_how_the_cookie_is_guarded(tmp_path: Path, public_url: str, name: str, secure: dict[str, str]) -> None:
    settings = settings_in(tmp_path, WEBAPP_PUBLIC_URL=public_url)
    given, taken = Response(), Response()
    set_session_cookie(given, settings, "rc_s_x")
    clear_session_cookie(taken, settings)
    guarded = {"path": "/", "httponly": "True", "samesite": "lax", **secure}
    assert cookie(given) == (name, guarded | {"max-age": str(12 * 3600)})
    set_name, attributes = cookie(taken)
    assert attributes.pop("expires")
    assert (set_name, attributes) == (name, guarded | {"max-age": "0"}), "a __Host- cookie is taken back only with the same attributes"


def test_a_cookie_without_an_age_ends_with_the_browser(tmp_path: Path) -> None:
    response = Response()
    set_cookie(response, settings_in(tmp_path), "notice", "x")
    assert "max-age" not in response.headers["set-cookie"].lower()


async def test_a_request_cannot_say_that_it_came_over_https(house: House, stranger: httpx2.AsyncClient) -> None:
    headers = {"X-Forwarded-Proto": "https", "Forwarded": "proto=https", "Host": "keys.example"}
    answer = await stranger.post("/logout", headers=headers)
    assert "Secure" not in answer.headers["set-cookie"]
    assert "strict-transport-security" not in answer.headers


async def test_a_cookie_of_the_other_kind_is_no_session(house: House, alice: httpx2.AsyncClient) -> None:
    browser = await house.client()
    assert (await browser.get("/images", headers={"Cookie": f"__Host-session={alice.cookies['session']}"})).status_code == 303
    secure = settings_in(house.settings.data_dir.parent, WEBAPP_PUBLIC_URL="https://keys.example")
    house.app.state.settings = secure
    assert (await browser.get("/images", headers={"Cookie": f"__Host-session={alice.cookies['session']}"})).status_code == 200
    planted = await browser.get("/images", headers={"Cookie": f"session={alice.cookies['session']}"})
    assert planted.status_code == 303, "a plain one may have been set by a neighbour on a sub-domain"


@pytest.mark.parametrize("text", ["x", "rc_s_" + "A" * 16 + "_" + "B" * 49, "rc_a_" + "A" * 16 + "_" + "B" * 49, "é", "a" * 9000])
async def test_a_cookie_of_nobody_is_no_session(house: House, text: str) -> None:
    browser = await house.client()
    answer = await browser.get("/images", headers={b"Cookie": f"session={text}".encode()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/images")


@on_sqlite  # it asks the database nothing that others do not ask on both
@pytest.mark.parametrize("current", ["", "http://[", "https://evil.example//evil.example/x", "http://127.0.0.1:8000/images?q=%E6%97%A5"])
async def test_htmx_is_sent_to_sign_in_wherever_it_says_to_be(stranger: httpx2.AsyncClient, current: str) -> None:
    answer = await stranger.get("/images", headers={"HX-Request": "true", "HX-Current-URL": current})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"].startswith("/login?next=/")
