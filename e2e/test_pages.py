"""Every page and state: accessible (axe, WCAG 2.2 AA), within the width of a phone, and light to load."""

import gzip
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser, BrowserContext, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.conftest import Settled
from e2e.server import Served, Server

AXE: dict[str, object] = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
    "resultTypes": ["violations"],
}
_COLOURS: dict[str, object] = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}
"""Axe's rules that look at colours, of those that run."""
_SCHEMES: dict[Literal["light", "dark"], dict[str, object]] = {"light": AXE, "dark": _COLOURS}
WIDTHS = [320, 1280]
RUN_AXE = "options => axe.run(options).then(result => result.violations.map(({id, nodes}) => [id, nodes[0].html]))"


@pytest.fixture(scope="module")
def furnished(settled: Settled, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    """A server with something on every page, for all tests of this file."""
    context = open_context(browser, settled.server, storage_state=settled.state)
    page = context.new_page()
    for number, host in enumerate(("ghcr.io", "registry-1.docker.io", "us-docker.pkg.dev", "registry.example:5000")):
        steps.store_password(page, f"credential-{number}", host, "acme-bot", "a-long-secret")
    for kind in ("secrets", "variables"):
        steps.given(page, f"/{kind}", {"name": "DB_PASSWORD", "value": "a value", "description": "of the main database"})
    steps.open_credential(page, "credential-0")
    page.locator("input[name=password]").fill("another-long-secret")
    steps.save(page)
    expect(page.get_by_text("and its value replaced")).to_be_visible()
    steps.add_image(page, "ubuntu-custom", "ghcr.io/acme/ubuntu:24.04", "credential-0")
    steps.enroll(settled.server, steps.make_bootstrap_token(page), "rack1-node07", tmp_path_factory.mktemp("agent") / "state")
    steps.choose_image(page, "rack1-node07", "ubuntu-custom")
    danas = open_context(browser, settled.server)
    steps.join(danas.new_page(), steps.invite(page, "dana@example.com", "viewer"))
    danas.close()
    (settled.state.parent / "link").write_text(steps.invite(page, "eve@example.com", "editor"))
    for name, role in (("deploy-pipeline", "editor"), ("nightly-rotation-of-all-the-registry-keys-in-frankfurt", "viewer")):
        steps.make_api_token(page, name, role)
    context.close()
    elsewhere = open_context(browser, settled.server)
    page = elsewhere.new_page()
    page.goto("/login")
    steps.sign_in(page)
    expect(page.get_by_role("heading", name="Registry Credentials", level=1)).to_be_visible()
    elsewhere.close()
    return settled


def pages(page: Page) -> dict[str, str]:
    """The address of every page, by its name."""
    found = {name: f"/{name}" for name in ("registry-credentials", "images", "agents", "secrets", "variables", "audit", "settings")}
    page.goto(steps.MEMBERS)
    people = {
        "member-role": "[href$='/role']",
        "member-remove": "[href$='/remove']",
        "invitation-revoke": "[href*='/invitations/'][href$='/revoke']",
    }
    found |= {name: str(page.locator(f"a{end}").last.get_attribute("href")) for name, end in people.items()}
    for name in ("registry-credentials", "images", "agents", "secrets", "variables"):
        page.goto(found[name])
        link = page.get_by_role("row").filter(has=page.get_by_role("button")).locator("th a").first.get_attribute("href")
        assert link is not None
        found[f"{name}-edit"] = link
        found[f"{name}-remove"] = link + ("/revoke" if name == "agents" else "/delete")
    for name in ("api-tokens", "sessions"):
        page.goto(f"/settings/{name}")
        ends = page.locator("tbody .menu a").first.get_attribute("href")
        assert ends is not None
        found |= {f"settings-{name}": f"/settings/{name}", f"settings-{name}-end": ends}
    page.goto("/images?kind=official")
    official = page.locator("tbody th a").first.get_attribute("href")
    assert official is not None
    return found | {
        "registry-credentials-new": "/registry-credentials/new",
        "registry-credentials-new-ecr": "/registry-credentials/new?preset=ecr",
        "registry-credentials-none-found": "/registry-credentials?q=nothing-like-it",
        "settings-encryption": "/settings/encryption",
        "members": steps.MEMBERS,
        "member-leave": f"{steps.MEMBERS}/leave",
        "invitation-new": f"{steps.MEMBERS}/invitations/new",
        "password": "/settings/password",
        "join-over": "/join?token=unknown",
        "settings-api-tokens-new": "/settings/api-tokens/new",
        "settings-api-tokens-ended": "/settings/api-tokens?show=ended",
        "settings-sessions-end-others": "/settings/sessions/end-others",
        "settings-sign-in": "/settings/sign-in",
        "registry-credentials-version-destroy": found["registry-credentials-edit"] + "/versions/1/destroy",
        "secrets-new": "/secrets/new",
        "secrets-none-found": "/secrets?q=nothing-like-it",
        "secrets-import": "/secrets/import",
        "variables-new": "/variables/new",
        "images-new": "/images/new",
        "images-official": "/images?kind=official",
        "images-official-one": official,
        "bootstrap-token-new": "/agents/bootstrap-tokens/new",
        "agents-allow-reenrolment": found["agents-edit"] + "/allow-reenrolment",
        "agents-revoked": "/agents?show=revoked",
        "audit-none-found": "/audit?q=nothing-like-it",
        "not-found": "/nowhere",
    }


def problems(page: Page, name: str) -> list[tuple[str, ...]]:
    """What is wrong with the page that is open, on a phone and a desk, light and dark; quicker in a context that has axe in every page.

    Of the dark page only what is about colours: all the rest is as it is in the light one.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found: list[tuple[str, ...]] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme, rules in _SCHEMES.items():
            page.emulate_media(color_scheme=scheme)
            found += [(name, f"{width}", scheme, *violation) for violation in page.evaluate(RUN_AXE, rules)]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append((name, f"{width}", "wider than the window"))
    return found


def open_with_axe(browser: Browser, server: Served, **more: Any) -> BrowserContext:
    """A browser profile with axe in every page: to hand it over each time takes longer than to load the page."""
    context = open_context(browser, server, **more)
    context.add_init_script(Axe().axe_script)
    return context


def test_every_page_is_accessible_and_fits(furnished: Settled, browser: Browser) -> None:
    context = open_with_axe(browser, furnished.server, storage_state=furnished.state)
    page = context.new_page()
    found = []
    for name, address in pages(page).items():
        page.goto(address)
        found += problems(page, name)
    page.goto("/registry-credentials")
    page.get_by_role("link", name="New registry credential").first.click()
    expect(page.locator("dialog[open]")).to_be_visible()
    page.get_by_label("GCP service account key", exact=True).check()
    steps.save(page)
    steps.expect_summary(page)
    found += problems(page, "dialog")
    page.goto("/secrets/import")
    page.get_by_label("Lines of a .env file").fill("DB_PASSWORD=x\nNEW=1\nbad name=2\n")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("1 new secret, 1 replaced, 1 refused.")).to_be_visible()
    found += problems(page, "import preview")
    page.goto("/images/new")
    page.get_by_label("User data", exact=True).fill("{{ secrets.DB_PASSWORD }}\n" * 40)
    page.get_by_role("button", name="Preview user data").click()
    expect(page.locator(".preview pre")).to_be_visible()
    found += problems(page, "user data preview")
    link = (furnished.state.parent / "link").read_text()
    page.goto(link)
    found += problems(page, "join, signed in")
    context.close()
    context = open_with_axe(browser, furnished.server)
    page = context.new_page()
    page.goto(link)
    found += problems(page, "join")
    steps.save(page)
    steps.expect_summary(page)
    found += problems(page, "join with errors")
    context.close()
    assert found == []


def test_the_pages_before_sign_in_are_accessible_and_fit(server: Server, browser: Browser) -> None:
    context = open_with_axe(browser, server)
    page = context.new_page()
    found = []
    for name, address in (("set-up", server.setup_link), ("sign-in", "/login")):
        page.goto(address)
        found += problems(page, name)
        steps.save(page)
        steps.expect_summary(page)
        found += problems(page, f"{name} with errors")
    context.close()
    assert found == []


def test_the_first_load_is_light(furnished: Settled, browser: Browser) -> None:
    context = open_context(browser, furnished.server, storage_state=furnished.state)
    page = context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda response: sizes.update({response.url: len(gzip.compress(response.body()))}))
    page.goto("/registry-credentials")
    page.wait_for_load_state("networkidle")
    context.close()
    assert len(sizes) <= 6
    assert sum(sizes.values()) <= 60_000
    assert (Path(__file__).parent.parent / "static" / "app.js").stat().st_size <= 4 * 1024
