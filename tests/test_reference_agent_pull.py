"""The reference agent pulling with the real skopeo from real registries; the control plane is a small server that says what to pull."""

import base64
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real import registry
from tests.real.control_plane import AGENT_TOKEN, BOOTSTRAP_TOKEN, PROVISION_ID, ControlPlane, control_plane
from tests.real.machine import Machine
from tests.real.registry import Registry
from tests.real.service_account import service_account_key

RESULT = "/api/v1/provision/result"


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with control_plane() as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, plane: ControlPlane) -> Machine:
    """A machine that is enrolled."""
    enrolled = Machine(tmp_path)
    assert enrolled.enroll(plane.url, BOOTSTRAP_TOKEN).returncode == 0
    return enrolled


@pytest.fixture(params=["htpasswd_registry", "token_registry"])
def private_registry(request: pytest.FixtureRequest) -> Registry:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Registry)
    return found


def auth_for(private: Registry, *, password: str | None = None, host: str | None = None) -> dict[str, Any]:
    password = private.password if password is None else password
    return {"registry": host or private.host, "username": private.username, "password": password, "expires_at": None}


def failed(error: str) -> dict[str, Any]:
    return {"provision_id": PROVISION_ID, "outcome": "failed", "digest": None, "error": error}


def test_it_pulls_its_private_image_and_reports_it(private_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    digest = private_registry.push("acme/ubuntu", "24.04")
    plane.hand_over(f"{private_registry.host}/acme/ubuntu:24.04", auth_for(private_registry))
    pulled = machine.pull()
    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert pulled.stdout == f"pulled {private_registry.host}/acme/ubuntu:24.04 {digest}\n"
    assert machine.pulled_digests() == {"24.04": digest}
    assert plane.results() == [{"provision_id": PROVISION_ID, "outcome": "pulled", "digest": digest, "error": None}]
    assert {authorization for _, _, authorization, _ in plane.requests[1:]} == {f"Bearer {AGENT_TOKEN}"}


def test_the_credential_is_in_a_private_file_while_skopeo_runs_and_gone_afterwards(
    private_registry: Registry, plane: ControlPlane, machine: Machine
) -> None:
    private_registry.push("acme/ubuntu", "24.04")
    plane.hand_over(f"{private_registry.host}/acme/ubuntu:24.04", auth_for(private_registry))
    machine.pull()
    seen = machine.seen()
    assert seen is not None
    basic = base64.b64encode(f"{private_registry.username}:{private_registry.password}".encode()).decode()
    assert seen["auths"] == {private_registry.host: {"auth": basic}}
    assert (seen["file_mode"], seen["directory_mode"]) == (0o600, 0o700)
    assert private_registry.password not in " ".join(seen["arguments"])
    assert not Path(seen["auth_file"]).exists()
    assert machine.left_behind() == []


def test_a_wrong_password_is_reported_without_being_told(private_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    private_registry.push("acme/ubuntu", "24.04")
    wrong = "wrong-" + private_registry.password
    plane.hand_over(f"{private_registry.host}/acme/ubuntu:24.04", auth_for(private_registry, password=wrong))
    refused = machine.pull()
    assert refused.returncode == 1
    [result] = plane.results()
    assert result == failed(result["error"])
    assert "unauthorized" in result["error"] or "authentication required" in result["error"] or "username/password" in result["error"]
    assert refused.stderr == f"registry-credentials agent pull: {result['error']}\n"
    assert wrong not in refused.stdout + refused.stderr
    assert machine.left_behind() == []
    assert not (machine.layout / "index.json").exists()


def test_a_key_file_reaches_the_registry_byte_for_byte(plane: ControlPlane, machine: Machine) -> None:
    key = service_account_key(crlf=True, indent=4)
    with registry.token_registry(key=key) as strict:
        digest = strict.push("acme/ubuntu", "24.04")
        plane.hand_over(f"{strict.host}/acme/ubuntu:24.04", auth_for(strict, password=key.decode()))
        assert machine.pull().returncode == 0
    assert machine.pulled_digests() == {"24.04": digest}


def test_a_skopeo_that_says_the_secret_is_not_repeated(htpasswd_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    password = htpasswd_registry.password
    basic = base64.b64encode(f"{htpasswd_registry.username}:{password}".encode()).decode()
    said = f'level=fatal msg="denied {json.dumps(password)[1:-1]} and {password} and {basic}"'
    machine.replace_skopeo("/bin/sh", "-c", 'printf "%s" "$0" >&2; exit 1', said)
    plane.hand_over(f"{htpasswd_registry.host}/acme/ubuntu:24.04", auth_for(htpasswd_registry))
    refused = machine.pull()
    assert refused.returncode == 1
    assert plane.results() == [failed("denied [withheld] and [withheld] and [withheld]")]
    assert "denied [withheld] and [withheld] and [withheld]" in refused.stderr


def test_a_public_image_is_pulled_as_nobody(open_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    digest = open_registry.push("acme/base", "1")
    plane.hand_over(f"{open_registry.host}/acme/base:1", None)
    assert machine.pull().returncode == 0
    assert plane.results()[0]["digest"] == digest
    seen = machine.seen()
    assert seen is not None
    assert seen["auths"] == {}


def test_a_login_of_the_machines_own_user_is_never_used(htpasswd_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    htpasswd_registry.push("acme/ubuntu", "24.04")
    login = base64.b64encode(f"{htpasswd_registry.username}:{htpasswd_registry.password}".encode()).decode()
    (machine.home / ".docker").mkdir()
    (machine.home / ".docker" / "config.json").write_text(json.dumps({"auths": {htpasswd_registry.host: {"auth": login}}}))
    for auth in (None, auth_for(htpasswd_registry, password="not it")):
        plane.answers.clear()
        plane.hand_over(f"{htpasswd_registry.host}/acme/ubuntu:24.04", auth)
        assert machine.pull().returncode == 1


@pytest.mark.parametrize("tag", [":24.04", ""])
def test_a_digest_decides_which_image_is_pulled(htpasswd_registry: Registry, plane: ControlPlane, machine: Machine, tag: str) -> None:
    digest = htpasswd_registry.push("acme/ubuntu", "24.04")
    htpasswd_registry.push("acme/ubuntu", "24.04")
    plane.hand_over(f"{htpasswd_registry.host}/acme/ubuntu{tag}@{digest}", auth_for(htpasswd_registry))
    pulled = machine.pull()
    assert pulled.returncode == 0, pulled.stderr
    assert machine.pulled_digests() == {tag[1:] or digest.replace(":", "-"): digest}


def test_a_credential_for_another_host_goes_nowhere(htpasswd_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    plane.hand_over(f"{htpasswd_registry.host}/acme/ubuntu:24.04", auth_for(htpasswd_registry, host="ghcr.io"))
    assert machine.pull().returncode == 1
    assert machine.seen() is None
    assert plane.results() == [failed(f"The credential is for ghcr.io, the image is on {htpasswd_registry.host}.")]


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("ghcr.io/acme/ubuntu:24.04", "ghcr.io"),
        ("registry.example.com:5000/ubuntu", "registry.example.com:5000"),
        ("acme/ubuntu:24.04", "https://index.docker.io/v1/"),
        ("docker.io/acme/ubuntu:24.04", "https://index.docker.io/v1/"),
        ("127.0.0.1.example.com/acme/ubuntu:24.04", "127.0.0.1.example.com"),
    ],
)
def test_a_registry_elsewhere_is_spoken_to_over_tls_only(plane: ControlPlane, machine: Machine, reference: str, key: str) -> None:
    machine.replace_skopeo("/bin/sh", "-c", "exit 1")
    host = "registry-1.docker.io" if "index.docker.io" in key else key
    plane.hand_over(reference, {"registry": host, "username": "acme-bot", "password": "not a secret", "expires_at": None})
    assert machine.pull().returncode == 1
    seen = machine.seen()
    assert seen is not None
    assert list(seen["auths"]) == [key]
    assert not [argument for argument in seen["arguments"] if "tls" in argument or "creds" in argument]
    assert plane.results() == [failed("skopeo failed and did not say why.")]


@pytest.fixture
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that processes which are started here do not inherit as ignored, as they would under nohup."""
    chosen: signal.Signals = request.param
    before = signal.signal(chosen, signal.SIG_DFL)
    yield chosen
    signal.signal(chosen, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], indirect=True)
def test_a_signal_ends_the_pull_and_leaves_no_credential_behind(plane: ControlPlane, machine: Machine, number: signal.Signals) -> None:
    machine.replace_skopeo("/bin/sleep", "60")
    plane.hand_over("ghcr.io/acme/ubuntu:24.04", {"registry": "ghcr.io", "username": "acme-bot", "password": "not a secret"})
    with machine.pulling() as agent:
        deadline = time.monotonic() + 20
        while (seen := machine.seen()) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert seen is not None
        assert Path(seen["auth_file"]).exists()
        agent.send_signal(number)
        assert agent.wait(20) == 128 + number
    assert machine.left_behind() == []
    assert plane.results() == [failed("The agent was stopped.")]


def test_a_skopeo_that_hangs_is_ended(plane: ControlPlane, machine: Machine) -> None:
    machine.replace_skopeo("/bin/sleep", "60")
    plane.hand_over("ghcr.io/acme/ubuntu:24.04", {"registry": "ghcr.io", "username": "acme-bot", "password": "not a secret"})
    assert machine.pull("--timeout", "1").returncode == 1
    assert plane.results() == [failed("skopeo did not finish: TimeoutExpired.")]
    assert machine.left_behind() == []


def test_the_result_is_told_again_until_it_is_heard(open_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    open_registry.push("acme/base", "1")
    plane.refuse(RESULT, 503, "Busy", "Try again.")
    plane.hand_over(f"{open_registry.host}/acme/base:1", None)
    assert machine.pull().returncode == 0
    first, second = plane.results()
    assert first == second


def test_a_result_that_is_refused_is_said_so(open_registry: Registry, plane: ControlPlane, machine: Machine) -> None:
    open_registry.push("acme/base", "1")
    plane.refuse(RESULT, 401, "Unauthorised", "Enrol again.")
    plane.hand_over(f"{open_registry.host}/acme/base:1", None)
    pulled = machine.pull()
    assert pulled.returncode == 77
    assert "The result (pulled) could not be reported: Unauthorised: Enrol again." in pulled.stderr


@pytest.mark.parametrize(("status", "exit_code"), [(401, 77), (409, 1), (429, 75), (503, 75)])
def test_nothing_is_pulled_when_nothing_is_handed_over(plane: ControlPlane, machine: Machine, status: int, exit_code: int) -> None:
    plane.refuse("/api/v1/provision", status, "There is no image", "Choose one on the agent's page.")
    refused = machine.pull()
    assert refused.returncode == exit_code
    assert refused.stderr == "registry-credentials agent pull: There is no image: Choose one on the agent's page.\n"
    assert machine.seen() is None


def test_no_credential_is_asked_for_that_could_not_be_used(plane: ControlPlane, machine: Machine, tmp_path: Path) -> None:
    assert machine.agent("pull", "--to", str(tmp_path / "a:b")).returncode == 78
    assert machine.agent("pull", "--to", str(tmp_path), "--state", str(tmp_path / "none")).returncode == 78
    machine.environment["PATH"] = str(tmp_path)
    without_skopeo = machine.pull()
    assert without_skopeo.returncode == 78
    assert "skopeo" in without_skopeo.stderr
    assert [path for _, path, _, _ in plane.requests] == ["/api/v1/enroll"]
