"""Every page and state: accessible (axe, WCAG 2.2 AA), within the width of a phone, and light to load."""

import gzip
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it ships no types
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.conftest import open_page
from e2e.server import Server, serve

AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> tuple[Server, Path]:  # type: ignore[misc]
    """A server with something on every page, and alice's signed-in state, for all tests of this file."""
    folder = tmp_path_factory.mktemp("furnished")
    official = folder / "official.json"
    official.write_text('[{"name": "Debian 12", "docker_image_url": "debian:12", "description": "The stable one"}]')
    with serve(folder / "server", WEBAPP_OFFICIAL_IMAGES_FILE=str(official)) as server:
        context = browser.new_context(base_url=server.url)
        page = open_page(context, [])
        steps.set_up(page, server)
        for number, host in enumerate(("ghcr.io", "registry-1.docker.io", "us-docker.pkg.dev", "registry.example:5000")):
            steps.store_password(page, f"credential-{number}", host, "acme-bot", "a-long-secret")
        steps.add_image(page, "ubuntu-custom", "ghcr.io/acme/ubuntu:24.04", "credential-0")
        token = steps.make_bootstrap_token(page)
        assert (
            server.run(
                "agent", "enroll", "--server", server.url, "--name", "rack1-node07", "--state", str(folder / "a"), text=token
            ).returncode
            == 0
        )
        steps.choose_image(page, "rack1-node07", "ubuntu-custom")
        context.storage_state(path=folder / "alice.json")
        context.close()
        yield server, folder / "alice.json"


def pages(page: Page) -> dict[str, str]:
    """The address of every page, by its name."""
    found = {name: f"/{name}" for name in ("registry-credentials", "images", "agents", "audit", "settings")}
    for name in ("registry-credentials", "images", "agents"):
        page.goto(found[name])
        link = page.locator("tbody th a").first.get_attribute("href")
        assert link is not None
        found[f"{name}-edit"] = link
        found[f"{name}-remove"] = link + ("/revoke" if name == "agents" else "/delete")
    return found | {
        "registry-credentials-new": "/registry-credentials/new",
        "registry-credentials-none-found": "/registry-credentials?q=nothing-like-it",
        "images-new": "/images/new",
        "images-official": "/images?kind=official",
        "bootstrap-token-new": "/agents/bootstrap-tokens/new",
        "agents-revoked": "/agents?show=revoked",
        "audit-none-found": "/audit?q=nothing-like-it",
        "not-found": "/nowhere",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_is_accessible_and_fits(furnished: tuple[Server, Path], browser: Browser, scheme: str, width: int) -> None:
    server, state = furnished
    violations: list[str] = []
    context = browser.new_context(
        base_url=server.url,
        storage_state=state,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 800},
    )
    page = open_page(context, violations)
    problems = []
    for name, address in pages(page).items():
        page.goto(address)
        result = Axe().run(page, options=AXE)
        problems += [(name, violation["id"], violation["nodes"][0]["html"]) for violation in result.response["violations"]]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            problems.append((name, "wider than the window", ""))
    page.goto("/registry-credentials")
    page.get_by_role("link", name="New registry credential").first.click()
    expect(page.locator("dialog[open]")).to_be_visible()
    page.get_by_label("GCP service account key", exact=True).check()
    steps.save(page)
    expect(page.locator("dialog .error-summary")).to_be_focused()
    problems += [
        ("dialog", violation["id"], violation["nodes"][0]["html"]) for violation in Axe().run(page, options=AXE).response["violations"]
    ]
    context.close()
    assert problems == []
    assert violations == []


def test_the_first_load_is_light(furnished: tuple[Server, Path], browser: Browser) -> None:
    server, state = furnished
    context = browser.new_context(base_url=server.url, storage_state=state)
    page = context.new_page()
    sizes: dict[str, int] = {}
    page.on("response", lambda response: sizes.update({response.url: len(gzip.compress(response.body()))}))
    page.goto("/registry-credentials")
    page.wait_for_load_state("networkidle")
    context.close()
    assert len(sizes) <= 6
    assert sum(sizes.values()) <= 60_000
    assert (Path(__file__).parent.parent / "static" / "app.js").stat().st_size <= 4 * 1024
