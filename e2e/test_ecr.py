"""Amazon ECR: what is stored does not die overnight. Twelve hours pass by a clock that the journey moves, and no token lives longer."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, Page, expect

from e2e import steps
from e2e.browser import open_context
from e2e.here import serve_here
from e2e.server import Served
from tests.personas import TestClock
from tests.real.aws_ecr import GET_TOKEN, AwsEcr
from tests.real.aws_kms import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.real.registry import settings_for, token_registry
from webapp.clock import HOUR

AGENTS = 100


def store_ecr(page: Page, name: str, host: str) -> None:
    """Store an access key for Amazon ECR."""
    steps.new_credential(page)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Registry URL").fill(host)
    page.get_by_label("Amazon ECR", exact=True).check()
    page.get_by_label("Access key id").fill(ACCESS_KEY_ID)
    page.get_by_label("Secret access key").fill(SECRET_ACCESS_KEY)
    page.get_by_label("Region").fill(REGION)
    page.get_by_role("button", name="Test connection").click()
    expect(page.locator(".test-result")).to_contain_text("Works")
    steps.save(page)
    expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()


def handed_to_all(server: Served, tokens: list[str]) -> list[dict[str, str]]:
    """What agents with these tokens are handed when they ask at once."""
    together = threading.Barrier(len(tokens))
    client = httpx2.Client(base_url=server.url, limits=httpx2.Limits(max_connections=len(tokens)), timeout=30, trust_env=False)

    def ask(token: str) -> httpx2.Response:
        together.wait()
        return client.get("/api/v1/provision", headers={"Authorization": f"Bearer {token}"})

    with client, ThreadPoolExecutor(len(tokens)) as agents:
        answers = list(agents.map(ask, tokens))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers if answer.status_code != 200][:1]
    return [answer.json()["registry_auth"] for answer in answers]


def enrolled(server: Served, bootstrap_token: str) -> list[str]:
    """The tokens of many agents, which get the account's default image."""
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {bootstrap_token}"}) as client:
        answers = [client.post("/api/v1/enroll", json={"name": f"rack2-node{number}"}) for number in range(AGENTS)]
    return [answer.json()["agent_token"] for answer in answers]


def test_both_pulls_work_twelve_hours_apart_and_a_hundred_agents_at_once_cost_one_token(
    browser: Browser, ecr: AwsEcr, tmp_path: Path
) -> None:
    clock = TestClock()
    ecr.begin(clock)
    with (
        token_registry(username="AWS", key=b"for pushing only", accepts=ecr.accepts) as registry,
        serve_here(tmp_path / "server", clock, **settings_for(registry), **ecr.settings()) as server,
    ):
        digest = registry.push("acme/ubuntu", "24.04")
        context = open_context(browser, server)
        alice = context.new_page()
        steps.set_up(alice, server)
        store_ecr(alice, "ecr-acme", registry.host)
        assert ecr.asked[GET_TOKEN] == 1, "the test of a draft mints one, and keeps none"
        steps.add_image(alice, "ubuntu", f"{registry.host}/acme/ubuntu:24.04", "ecr-acme")
        alice.goto("/settings")
        alice.get_by_label("Default image").select_option(label=f"ubuntu – {registry.host}/acme/ubuntu:24.04")
        steps.save(alice)
        expect(alice.get_by_role("status").filter(has_text="saved")).to_be_visible()
        bootstrap, state = steps.make_bootstrap_token(alice), tmp_path / "state"
        steps.enroll(server, bootstrap, "rack1-node07", state)
        tokens = enrolled(server, bootstrap)
        context.close()

        status, words = steps.pulled(server, state, tmp_path / "first")
        assert status == 0, words
        assert steps.manifest(tmp_path / "first") == digest
        first = ecr.tokens[-1]
        assert len(ecr.tokens) == 2

        clock.advance(12 * HOUR)
        assert not ecr.accepts(first.encode()), "the registry takes the first token no more"
        handed = handed_to_all(server, tokens)
        assert len(ecr.tokens) == 3, "a hundred agents at once: one mint"
        assert {(auth["username"], auth["password"]) for auth in handed} == {("AWS", ecr.tokens[-1])}
        assert {auth["expires_at"] for auth in handed} == {"2026-11-04T14:05:00Z"}

        status, words = steps.pulled(server, state, tmp_path / "second")
        assert status == 0, words
        assert steps.manifest(tmp_path / "second") == digest
        assert len(ecr.tokens) == 3
        database = b"".join(path.read_bytes() for path in server.data_dir.iterdir() if path.is_file())
    assert not any(token.encode() in database for token in [*ecr.tokens, SECRET_ACCESS_KEY])
