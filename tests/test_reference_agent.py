"""The reference agent as a process, enrolling at a small server; tests/test_reference_agent_pull.py has it pull."""

import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.real.control_plane import AGENT_TOKEN, BOOTSTRAP_TOKEN, ControlPlane, control_plane
from tests.real.machine import Machine, mode

ENROLL = "/api/v1/enroll"


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with control_plane() as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_enrolling_keeps_the_token_for_this_user_only_and_does_not_show_it(plane: ControlPlane, machine: Machine) -> None:
    enrolled = machine.enroll(plane.url, BOOTSTRAP_TOKEN)
    assert (enrolled.returncode, enrolled.stderr) == (0, "")
    assert "rack1-node07" in enrolled.stdout
    assert AGENT_TOKEN not in enrolled.stdout
    assert plane.requests == [("POST", ENROLL, f"Bearer {BOOTSTRAP_TOKEN}", {"name": "rack1-node07"})]
    assert json.loads((machine.state / "agent.json").read_text())["agent_token"] == AGENT_TOKEN
    assert (mode(machine.state), mode(machine.state / "agent.json")) == (0o700, 0o600)
    assert [path.name for path in machine.state.iterdir()] == ["agent.json"]


def test_the_bootstrap_token_may_come_from_a_file(plane: ControlPlane, machine: Machine, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(BOOTSTRAP_TOKEN + "\n")
    enrolled = machine.enroll(plane.url + "/", "", "--token-file", str(token_file), "--state", str(tmp_path / "elsewhere"))
    assert enrolled.returncode == 0, enrolled.stderr
    assert plane.requests[0][2] == f"Bearer {BOOTSTRAP_TOKEN}"
    assert mode(tmp_path / "elsewhere" / "agent.json") == 0o600


@pytest.mark.parametrize(
    "server",
    [
        "http://control.example.com",
        "http://localhost.example.com:8000",
        "http://127.0.0.1.example.com",
        "http://10.0.0.7:8000",
        "http://0.0.0.0:8000",
        "https://ana:secret@control.example.com",
        "control.example.com",
        "file:///etc/passwd",
        "https://",
        "https://[::1",
    ],
)
def test_it_refuses_a_server_that_it_could_not_trust_with_a_token(machine: Machine, server: str) -> None:
    refused = machine.enroll(server, BOOTSTRAP_TOKEN)
    assert refused.returncode == 78
    assert "server's URL" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (machine.state / "agent.json").exists()


@pytest.mark.parametrize("token", ["", "two words", "two\nlines", "tökén"])
def test_it_sends_nothing_when_the_token_is_no_token(plane: ControlPlane, machine: Machine, token: str) -> None:
    refused = machine.enroll(plane.url, token)
    assert refused.returncode == 78
    assert "token" in refused.stderr
    assert plane.requests == []


def test_it_sends_nothing_when_the_state_directory_belongs_to_everybody(plane: ControlPlane, machine: Machine) -> None:
    machine.state.mkdir()
    machine.state.chmod(0o777)
    refused = machine.enroll(plane.url, BOOTSTRAP_TOKEN)
    assert refused.returncode == 78
    assert str(machine.state) in refused.stderr
    assert plane.requests == []


@pytest.mark.parametrize(("status", "exit_code"), [(401, 77), (403, 77), (409, 1), (422, 1), (429, 75), (500, 75), (503, 75)])
def test_a_refusal_is_shown_in_the_servers_words(plane: ControlPlane, machine: Machine, status: int, exit_code: int) -> None:
    plane.answers.clear()
    plane.refuse(ENROLL, status, "This name is taken", "Allow re-enrolment\x1b[2J on the agent's page.")
    refused = machine.enroll(plane.url, BOOTSTRAP_TOKEN)
    assert refused.returncode == exit_code
    assert refused.stderr == "registry-credentials agent enroll: This name is taken: Allow re-enrolment [2J on the agent's page.\n"
    assert not (machine.state / "agent.json").exists()


def test_an_old_token_stays_when_enrolling_again_is_refused(plane: ControlPlane, machine: Machine) -> None:
    machine.enroll(plane.url, BOOTSTRAP_TOKEN)
    plane.answers.clear()
    plane.refuse(ENROLL, 409, "This name is taken", "Choose another.")
    assert machine.enroll(plane.url, BOOTSTRAP_TOKEN).returncode == 1
    assert json.loads((machine.state / "agent.json").read_text())["agent_token"] == AGENT_TOKEN


@pytest.mark.parametrize("document", [None, ["a", "list"], "text"])
def test_something_else_that_answers_is_no_control_plane(plane: ControlPlane, machine: Machine, document: object) -> None:
    plane.answers.clear()
    plane.answer(ENROLL, 200, document)
    refused = machine.enroll(plane.url, BOOTSTRAP_TOKEN)
    assert refused.returncode == 1
    assert "JSON object" in refused.stderr


def test_nobody_who_answers_is_worth_another_try(machine: Machine) -> None:
    with control_plane() as gone:
        pass
    refused = machine.enroll(gone.url, BOOTSTRAP_TOKEN)
    assert refused.returncode == 75
    assert refused.stderr.startswith(f"registry-credentials agent enroll: No answer from {gone.url}: ")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_carry_the_token_away(plane: ControlPlane, machine: Machine, status: int) -> None:
    with control_plane() as elsewhere:
        plane.answers.clear()
        plane.answer(ENROLL, status, None, Location=elsewhere.url + ENROLL)
        refused = machine.enroll(plane.url, BOOTSTRAP_TOKEN)
        assert elsewhere.requests == []
    assert refused.returncode == 78
    assert "redirect" in refused.stderr


def test_a_proxy_of_the_environment_does_not_see_what_goes_to_loopback(plane: ControlPlane, machine: Machine) -> None:
    with control_plane() as proxy:
        machine.environment |= {"http_proxy": proxy.url, "HTTP_PROXY": proxy.url, "all_proxy": proxy.url}
        assert machine.enroll(plane.url, BOOTSTRAP_TOKEN).returncode == 0
        assert proxy.requests == []


def test_a_certificate_that_nobody_vouches_for_is_refused_until_the_ca_is_named(machine: Machine, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with control_plane(context) as plane:
        plane.refuse("/api/v1/provision", 409, "There is no image", "Choose one on the agent's page.")
        refused = machine.enroll(plane.url, BOOTSTRAP_TOKEN)
        assert refused.returncode == 78
        assert "certificate verify failed" in refused.stderr
        assert plane.requests == []
        trusted = machine.enroll(plane.url, BOOTSTRAP_TOKEN, "--ca-file", str(certificate))
        assert trusted.returncode == 0, trusted.stderr
        # A pull trusts what the enrolment trusted.
        assert "There is no image" in machine.pull().stderr


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "control plane of the tests")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, key_file
