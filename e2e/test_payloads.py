"""Two hundred texts that want to be script, markup or a template, through every field that takes text: each is shown as it was typed."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from e2e import steps
from e2e.browser import broken, open_context
from e2e.conftest import Settled
from tests.web.payloads import PAYLOADS
from webapp.images.user_data import parse_user_data
from webapp.names import parse_description, parse_name

MOST_AT_ONCE = 4
LOOKED_AT = 5
"""Of the records' own pages every so-manieth is looked at: all of them are the same form, in which every text was sent back before."""
_MAIN = re.compile("<main.*</main>", re.DOTALL)

NOT_OURS = """texts => {
  const typed = new Set(["value", "aria-label", "placeholder", "title", "alt", "data-name", "content"]);
  const ours = new Set(`html head meta title link body header nav main footer section aside h1 h2 h3 p a b strong em small span div ul ol li
    dl dt dd table thead tbody tr th td form fieldset legend label input select optgroup option textarea button dialog details summary code
    pre time svg path circle rect line polyline template br hr output progress`.split(/\\s+/));
  const wrong = element => {
    const name = element.localName;
    if (name === "script") return !(element.getAttribute("src") || "").startsWith("/static/") || element.text !== "";
    if (!ours.has(name)) return true;
    return [...element.attributes].some(({name, value}) => /^(on|style$|hx-on|data-hx|srcdoc|background|ping)/.test(name) ||
      (!typed.has(name) && /canary|pwn|^\\s*(javascript|data|vbscript):/i.test(value)));
  };
  return texts.flatMap(text => [...new DOMParser().parseFromString(text, "text/html").querySelectorAll("*")].filter(wrong)
    .map(element => element.outerHTML.slice(0, 200)));
}"""
"""What stands in pages that no template of ours has written, however it came there: the browser reads them, and runs nothing."""


class Typed:
    """Alice's hand: fills forms in, several at a time, and keeps every page that came back."""

    def __init__(self, settled: Settled, page: Page) -> None:
        cookies = {str(cookie["name"]): str(cookie["value"]) for cookie in page.context.cookies()}
        self.client = httpx2.Client(base_url=settled.server.url, cookies=cookies, headers={"Sec-Fetch-Site": "same-origin"})
        self.pages: list[str] = []

    def send(self, address: str, values: dict[str, str]) -> str:
        """Send a form; the page that came of it, and none where it was stored."""
        answer = self.client.post(address, data=values)
        assert answer.status_code in {200, 303, 412, 422}, f"{address} answers {answer.status_code} to {values}"
        self.pages += _MAIN.findall(answer.text)
        return answer.text

    def look(self, address: str) -> str:
        """A page's source."""
        answer = self.client.get(address)
        assert answer.status_code == 200, address
        self.pages += _MAIN.findall(answer.text)
        return answer.text

    def call(self, method: str, address: str, token: str, body: dict[str, str] | None = None) -> httpx2.Response:
        """Ask the API, as an agent does."""
        return self.client.request(method, address, json=body, headers={"Authorization": f"Bearer {token}"})


def accepted(parse: Callable[[str], Any], text: str) -> bool:
    """Whether a field takes this text; what it does not take is sent all the same, and comes back with a sentence."""
    try:
        parse(text)
    except ValueError:
        return False
    return True


def username(text: str) -> None:
    """What a user name may hold, beyond what `parse_name` says."""
    parse_name(text)
    if ":" in text:
        raise ValueError(text)


def joined(most: int, texts: Sequence[str] = PAYLOADS) -> list[str]:
    """All texts, as many in one as have so many characters: for fields that take more than a name."""
    found = [""]
    for text in texts:
        if len(found[-1]) + len(text) + 1 > most:
            found.append("")
        found[-1] += f" {text}"
    return found


def forms(number: int, text: str, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The forms through which this text goes: into the fields that take it, and into those that do not. `name` is one that is free."""
    about = text if accepted(parse_description, text) else ""
    user = text if accepted(username, text) else "bot"
    credential = {"registry_url": "ghcr.io", "auth_method": "password", "password": "hunter2-but-long"}
    yield "/registry-credentials", {**credential, "name": name, "description": about, "username": user}
    fields = ("name", "description", "username", "registry_url", "test_image", "expires_on", "auth_method")
    yield "/registry-credentials", {**credential, **dict.fromkeys(fields, text)}
    user_data = text if accepted(parse_user_data, text) else ""
    yield "/images", {"name": name, "description": about, "docker_image_url": "debian:12", "user_data": user_data}
    yield "/images", {"name": text, "description": text, "docker_image_url": text, "user_data": text + "{{ secrets."}
    yield "/variables", {"name": f"V_{number}", "description": about, "value": text}
    yield "/settings", {"account_name": text}
    yield "/settings/members/invitations", {"email": text if "@" in text else f"{text}@example.com", "role": "viewer"}
    yield "/settings/api-tokens", {"name": name, "role": "viewer", "lifetime": "30d"}


def longer_forms() -> Iterator[tuple[str, dict[str, str]]]:
    """The forms of fields that take, or send back, several texts at once."""
    for number, text in enumerate(joined(400, [text for text in PAYLOADS if accepted(parse_description, text)])):
        yield "/agents/bootstrap-tokens", {"description": text, "lifetime": "365d"}
        yield "/secrets", {"name": f"S_{number}", "description": text, "value": "x"}
    for text in joined(200):
        for kind in ("variables", "secrets"):
            yield f"/{kind}", {"name": text, "description": text, "value": text}
        yield "/agents/bootstrap-tokens", {"description": text, "lifetime": text}
        yield "/settings", {"account_name": text, "default_image_id": text}
        yield "/login", {"email": text, "password": "", "next": text}
        yield "/settings/members/invitations", {"email": text, "role": text}
        yield "/settings/api-tokens", {"name": text, "role": text, "lifetime": text}
    for kind in ("variables", "secrets"):
        yield f"/{kind}/import", {"env": "\n".join(f"I_{number}={text}\n{text}=x" for number, text in enumerate(PAYLOADS))}


def at_once(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Do this with all of them, a few at a time."""
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        list(pool.map(work, items))


def agents(typed: Typed, token: str) -> None:
    """An agent for every text that may be its name; some of them report a failure in such words."""
    errors = joined(1_900)

    def one(item: tuple[int, str]) -> None:
        number, name = item
        enrolled = typed.call("POST", "/api/v1/enroll", token, {"name": name})
        assert enrolled.status_code == 201, (name, enrolled.text)
        if number < len(errors):
            own = enrolled.json()["agent_token"]
            given = typed.call("GET", "/api/v1/provision", own)
            told = {"provision_id": given.headers["provision-id"], "outcome": "failed", "error": errors[number]}
            assert typed.call("POST", "/api/v1/provision/result", own, told).status_code == 200

    at_once(one, list(enumerate(names())))


def browsers(typed: Typed) -> None:
    """Sign in with browsers that call themselves so."""

    def one(name: str) -> None:
        with httpx2.Client(
            base_url=typed.client.base_url, headers={"Sec-Fetch-Site": "same-origin", "User-Agent": name.strip()}
        ) as browser:
            assert browser.post("/login", data={"email": steps.EMAIL, "password": steps.PASSWORD}).status_code == 303

    at_once(one, joined(190, [text.strip() for text in PAYLOADS if text.isascii() and text.isprintable()]))


def names() -> list[str]:
    """The texts that are names, each of which differs from the others by more than its case."""
    return list({parse_name(text).key: text for text in PAYLOADS if accepted(parse_name, text)}.values())


@pytest.fixture
def page(settled: Settled, browser: Browser) -> Iterator[Page]:
    """Alice's page, in which whatever runs is counted."""
    context = open_context(browser, settled.server, storage_state=settled.state)
    context.add_init_script("window.pwn = () => { window.ran = (window.ran || 0) + 1; document.title = 'pwned'; };")
    yield context.new_page()
    context.close()


def opened(page: Page, address: str) -> None:
    """Open a page, and see that nothing in it ran."""
    page.goto(address)
    assert page.evaluate("window.ran || 0") == 0, f"something ran on {address}"


def whole_list(page: Page, address: str) -> tuple[list[str], list[str]]:
    """The names on all pages of a list, as they are seen, and where they lead."""
    shown, links = list[str](), list[str]()
    following: str | None = address
    while following:
        opened(page, following)
        cells = page.locator("tbody th a").evaluate_all("links => links.map(link => [link.textContent, link.getAttribute('href')])")
        shown += [text for text, _ in cells]
        links += [link for _, link in cells]
        more = page.locator("nav.pager a[rel=next]")
        following = more.get_attribute("href") if more.count() else None
    return shown, links


def test_nothing_that_is_typed_is_more_than_text(settled: Settled, page: Page, request: pytest.FixtureRequest) -> None:
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if "canary" in sent.url else None)
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    typed = Typed(settled, page)
    request.addfinalizer(typed.client.close)
    token = steps.make_bootstrap_token(page)
    image = steps.given_image(page, "default", "debian:12")
    default = re.search(rf'href="/images/(\w+)">{image}<', typed.look("/images?q=default"))
    assert default is not None
    typed.send("/settings", {"default_image_id": default[1]})
    free = dict(zip((text for text in PAYLOADS if text in names()), names(), strict=False))
    single = [form for number, text in enumerate(PAYLOADS) for form in forms(number, text, free.get(text, f"refused-{number}"))]
    at_once(lambda form: typed.send(*form), [*single, *longer_forms()])
    agents(typed, token)
    browsers(typed)
    expected = {parse_name(text).text for text in names()}
    for path in ("/registry-credentials", "/images", "/agents"):
        shown, links = whole_list(page, path)
        assert expected - set(shown) == set(), path
        at_once(typed.look, links[::LOOKED_AT])
        for link in links[:2]:
            opened(page, link)
    _, variables = whole_list(page, "/variables")
    at_once(typed.look, variables[::LOOKED_AT])
    for path in ("/audit", "/settings", "/secrets", variables[0], *(f"/settings/{name}" for name in ("members", "api-tokens", "sessions"))):
        opened(page, path)
    assert page.evaluate(NOT_OURS, typed.pages) == []
    assert page.evaluate(NOT_OURS, ["<p hx-on=x>", "<iframe>", "<a href=' javascript:x'>", "<x>"]) != []
    assert asked == []


@pytest.mark.parametrize("planted", ["<p onclick=pwn()>", "<img src=//127.0.0.1:1/canary.png>", "<p style=color:red>"])
def test_a_journey_in_which_something_is_refused_fails(page: Page, planted: str) -> None:
    page.goto("/settings")
    page.evaluate("text => { document.querySelector('main').innerHTML = text; }", planted)
    page.wait_for_timeout(0)
    assert any("Content Security Policy" in said for said in broken)
    broken.clear()  # it has been seen, as the end of every journey sees it


def test_a_journey_in_which_a_script_fails_fails(page: Page) -> None:
    page.goto("/settings")
    page.evaluate("() => { setTimeout(() => { throw new Error('planted'); }); }")
    page.wait_for_timeout(50)
    assert any("planted" in said for said in broken)
    broken.clear()
