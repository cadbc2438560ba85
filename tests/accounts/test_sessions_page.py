"""Settings → Sessions: where somebody is signed in, and how that ends in another browser."""

import re

import httpx2
import pytest

from tests.markup import says
from tests.personas import PASSWORD, House, Persona
from webapp.accounts.session import IDLE
from webapp.accounts.user_agent import LONGEST, browser_in_words
from webapp.clock import HOUR, MINUTE

pytestmark = pytest.mark.anyio

SESSIONS = "/settings/sessions"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0"


async def sign_in(house: House, who: Persona, user_agent: str) -> httpx2.AsyncClient:
    client = await house.client()
    answer = await client.post("/login", data={"email": who.email, "password": PASSWORD}, headers={"User-Agent": user_agent})
    assert answer.status_code == 303
    return client


def accessor(client: httpx2.AsyncClient) -> str:
    return client.cookies["session"].split("_")[2]


def rows(page: str) -> list[str]:
    """What each row of the list says."""
    return [says(row) for row in re.findall(r"<tr>(\s*<th scope=\"row\">.*?)</tr>", page, re.DOTALL)]


async def test_it_lists_ones_own_and_marks_the_one_that_is_used(house: House, bob: httpx2.AsyncClient) -> None:
    here = await sign_in(house, house.alice, FIREFOX)
    house.clock.advance(5 * MINUTE)
    await sign_in(house, house.alice, EDGE)
    this, there = rows((await here.get(SESSIONS)).text)
    assert this.startswith("Firefox on Linux This one 3 Nov 2026, 14:05 UTC with the password just now 192.0.2.7")
    assert "Edge on Windows" in there
    assert "This one" not in there
    assert len(rows((await bob.get(SESSIONS)).text)) == 1


async def test_one_that_is_ended_is_signed_out_at_its_next_click(house: House) -> None:
    here, there = await sign_in(house, house.alice, FIREFOX), await sign_in(house, house.alice, EDGE)
    asked = await here.get(f"{SESSIONS}/{accessor(there)}/end")
    assert "Edge on Windows" in asked.text
    answer = await here.post(f"{SESSIONS}/{accessor(there)}/end")
    assert (answer.status_code, answer.headers["location"]) == (303, SESSIONS)
    assert (await there.get("/images")).status_code == 303
    assert (await here.get("/images")).status_code == 200
    assert len(rows((await here.get(SESSIONS)).text)) == 1
    row = (await house.audit())[-1]
    assert (row["action"], row["actor_label"], row["accessor"]) == ("member.end_sessions", "alice@example.com", accessor(here))
    assert row["detail"] == f"1: Edge on Windows, accessor {accessor(there)}"
    assert (await here.post(f"{SESSIONS}/{accessor(there)}/end")).status_code == 404, "it has ended"


async def test_all_others_end_and_this_one_stays(house: House, bob: httpx2.AsyncClient) -> None:
    here = await sign_in(house, house.alice, FIREFOX)
    others = [await sign_in(house, house.alice, EDGE) for _ in range(3)]
    assert "all 3 other sessions" in (await here.get(f"{SESSIONS}/end-others")).text
    answer = await here.post(f"{SESSIONS}/end-others")
    assert (answer.status_code, answer.headers["location"]) == (303, SESSIONS)
    assert [(await each.get("/images")).status_code for each in (*others, here, bob)] == [303, 303, 303, 200, 200]
    assert [row["detail"] for row in await house.audit() if row["action"] == "member.end_sessions"] == ["3: all but the one in use"]
    await here.post(f"{SESSIONS}/end-others")
    assert len([row for row in await house.audit() if row["action"] == "member.end_sessions"]) == 1, "there was none to end"
    assert "You have no other session now." in says((await here.get(f"{SESSIONS}/end-others")).text)


async def test_nobody_ends_somebody_elses(
    house: House, alice: httpx2.AsyncClient, bob: httpx2.AsyncClient, charlie: httpx2.AsyncClient
) -> None:
    for theirs in (bob, charlie):
        for path in (f"{SESSIONS}/{accessor(theirs)}/end", f"{SESSIONS}/{accessor(theirs)}x/end"):
            assert (await alice.get(path)).status_code == 404
            assert (await alice.post(path)).status_code == 404
        assert (await theirs.get("/images")).status_code == 200


async def test_ending_the_one_that_is_used_signs_out(house: House, alice: httpx2.AsyncClient) -> None:
    token = accessor(alice)
    assert "signs you out here" in says((await alice.get(f"{SESSIONS}/{token}/end")).text)
    answer = await alice.post(f"{SESSIONS}/{token}/end")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert 'session=""; ' in answer.headers["set-cookie"] + " "
    assert (await alice.get("/images")).status_code == 303
    assert (await house.audit())[-1]["action"] == "member.sign_out"


async def test_what_is_over_is_not_listed(house: House) -> None:
    idle = await sign_in(house, house.alice, EDGE)
    house.clock.advance(IDLE + 1)
    here = await sign_in(house, house.alice, FIREFOX)
    assert len(rows((await here.get(SESSIONS)).text)) == 1
    assert (await here.get(f"{SESSIONS}/{accessor(idle)}/end")).status_code == 404
    for _ in range(12 * 60 // 20):
        house.clock.advance(20 * MINUTE)
        await here.get("/images")
    fresh = await sign_in(house, house.alice, FIREFOX)
    assert len(rows((await fresh.get(SESSIONS)).text)) == 1, f"twelve hours are {12 * HOUR}"


async def test_polling_is_not_seen(house: House) -> None:
    here, there = await sign_in(house, house.alice, FIREFOX), await sign_in(house, house.alice, EDGE)
    house.clock.advance(10 * MINUTE)
    await there.get("/images", headers={"X-Polling": "1"})
    assert "10 min ago" in rows((await here.get(SESSIONS)).text)[1]
    await there.get("/images")
    assert "10 min ago" not in says("".join(rows((await here.get(SESSIONS)).text)))


async def test_signing_in_anew_ends_the_one_that_the_browser_had(house: House) -> None:
    here = await sign_in(house, house.alice, FIREFOX)
    before = accessor(here)
    await here.post("/login", data={"email": house.alice.email, "password": PASSWORD})
    assert accessor(here) != before
    assert len(rows((await here.get(SESSIONS)).text)) == 1


async def test_what_a_browser_says_of_itself_is_only_text(house: House) -> None:
    here = await sign_in(house, house.alice, "<script>alert(1)</script>")
    page = (await here.get(SESSIONS)).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (EDGE, "Edge on Windows"),
        (EDGE.replace("Edg/", "OPR/"), "Opera on Windows"),
        (EDGE.partition(" Edg")[0], "Chrome on Windows"),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S918B) {WEBKIT} SamsungBrowser/23.0 Chrome/115.0 Safari/537.36",
            "Samsung Internet on Android",
        ),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/141.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/18.6 Safari/605.1.15", "Safari on macOS"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {WEBKIT} FxiOS/144.0 Safari/605.1.15", "Firefox on iPhone"),
        (f"Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) {WEBKIT} CriOS/141.0 Safari/604.1", "Chrome on iPad"),
        ("Firefox/145.0", "Firefox"),
        ("curl/8.14.1", "curl/8.14.1"),
        ("x" * 200, "x" * (LONGEST - 1) + "…"),
        ("", "A browser that does not say which"),
    ],
)
def test_a_browser_is_called_what_people_call_it(said: str, words: str) -> None:
    assert browser_in_words(said) == words
