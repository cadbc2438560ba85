"""`serve` as a process: what it prints and where, what it refuses to start with, how it ends, and TLS of its own."""

import datetime as dt
import ipaddress
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.server import STOP_SECONDS, Server, run, serve
from tests.personas import PASSWORD
from tests.real.process import free_port, running
from webapp.command import TRY_LATER, Command
from webapp.control import SOCKET_NAME, run_command
from webapp.settings import VARIABLES, Settings

ADMIN = ("create-admin", "--email", "ana@example.com", "--password-stdin")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody has set up, for tests that leave it so."""
    with serve(tmp_path_factory.mktemp("serve")) as running_server:
        yield running_server


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "WEBAPP_DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)


def refused(environ: dict[str, str], *arguments: str) -> str:
    """The one line with which the command ends, with status 78."""
    ended = run(environ, *(arguments or ("serve",)))
    assert (ended.returncode, ended.stdout) == (78, ""), ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("registry-credentials: ")
    return line.removeprefix("registry-credentials: ")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that holds something; SQLite's index of an empty write-ahead log is none."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.name.endswith("-shm")}
    return {name: data for name, data in files.items() if data}


def test_it_prints_where_it_is_and_the_set_up_link(server: Server) -> None:
    where, link = server.output.splitlines()
    assert where == f"Serving on {server.url}"
    assert link == f"Set up the account and its first admin here (this works once): {server.setup_link}"
    assert server.setup_link.startswith(f"{server.url}/setup?token=")
    log = server.log.read_text()
    assert log.startswith(f"Made a root key: {server.folder}/data-key/root.key (fingerprint ")


def test_the_link_works_and_is_never_in_the_log(server: Server) -> None:
    page = httpx2.get(server.setup_link)
    assert page.status_code == 200
    token = server.setup_link.partition("token=")[2]
    assert token in page.text
    for _ in range(100):  # the line is written after the answer
        log = server.log.read_text()
        if "INFO webapp.request: answered method=GET path=/setup status=200 " in log:
            break
        time.sleep(0.05)
    assert "INFO webapp.request: answered method=GET path=/setup status=200 " in log
    assert token not in log
    assert "GET /setup" not in log, "uvicorn's own access log is off"
    assert "uvicorn" not in log


def test_its_socket_is_for_this_user_only(server: Server) -> None:
    assert (server.data_dir / SOCKET_NAME).stat().st_mode & 0o777 == 0o600


def test_it_says_nothing_of_its_parts(server: Server) -> None:
    answer = httpx2.get(f"{server.url}/livez")
    assert answer.text == "alive\n"
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers, "there is no TLS to insist on"


def test_a_second_one_on_the_same_store_is_refused(server: Server) -> None:
    line = refused({**server.environ, "WEBAPP_PORT": str(free_port())})
    assert line == f"WEBAPP_DATA_DIR: another process has the store in {server.data_dir} open."
    assert httpx2.get(f"{server.url}/readyz").status_code == 200
    assert server.run("check").returncode == 0, "and its socket is still there"


def test_a_command_does_not_wait_for_a_server_that_hangs(server: Server) -> None:
    settings = Settings.from_environ({"WEBAPP_DATA_DIR": str(server.data_dir)})
    server.process.send_signal(signal.SIGSTOP)
    try:
        outcome = run_command(settings, Command("check"), patience=0.3)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert (outcome.exit, outcome.stdout) == (TRY_LATER, "")
    assert "does not answer. Try again." in outcome.stderr
    assert run_command(settings, Command("check")).exit == 0


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits are seen in /proc, which is Linux's")
def test_its_memory_is_written_nowhere(server: Server) -> None:
    limits = Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
    assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_an_account_has_no_set_up_link(tmp_path: Path, number: signal.Signals) -> None:
    made = run({"WEBAPP_DATA_DIR": str(tmp_path / "data")}, *ADMIN, text=PASSWORD)
    assert made.returncode == 0, made.stderr
    with serve(tmp_path) as server, httpx2.Client(base_url=server.url) as client:
        assert server.output == f"Serving on {server.url}\n"
        assert client.get("/setup", params={"token": "x" * 43}).status_code == 404  # and its connection stays open
        assert (server.data_dir / SOCKET_NAME).exists()
        server.process.send_signal(number)
        assert server.process.wait(STOP_SECONDS) == 0
        assert not (server.data_dir / SOCKET_NAME).exists()
        assert sorted(contents(server.data_dir)) == ["registry-credentials.sqlite3"], "its write-ahead log is folded in"
        assert "ERROR" not in server.log.read_text()


def test_a_port_that_is_taken_is_a_wrong_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused({"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_PORT": str(port)})
    assert line.startswith(f"WEBAPP_PORT: another program listens on 127.0.0.1 port {port}.")
    assert list(tmp_path.iterdir()) == [], "nothing was made"


def test_an_address_of_another_machine_is_a_wrong_setting(tmp_path: Path) -> None:
    environ = {"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_HOST": "192.0.2.1", "WEBAPP_PUBLIC_URL": "https://keys.example.com"}
    assert refused(environ).startswith("WEBAPP_HOST: listening on 192.0.2.1 port 8000 is not possible (")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104  refused
def test_beyond_loopback_without_tls_it_does_not_even_begin(tmp_path: Path, host: str) -> None:
    line = refused({"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_HOST": host})
    assert line.startswith(f"WEBAPP_HOST: {host} can be reached from other machines, and there is no TLS.")
    assert list(tmp_path.iterdir()) == []


def test_with_another_root_key_or_none_not_a_byte_changes(tmp_path: Path) -> None:
    environ = {"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_PORT": str(free_port())}
    other = {"WEBAPP_DATA_DIR": str(tmp_path / "other" / "data")}
    expected, found = (_fingerprint(run(each, "check").stderr) for each in (environ, other))
    before = contents(tmp_path / "data")
    assert list(before) == ["registry-credentials.sqlite3"]
    key, none = tmp_path / "other" / "data-key" / "root.key", tmp_path / "none" / "root.key"
    for command in (("serve",), ADMIN):
        line = refused({**environ, "WEBAPP_ROOT_KEY_FILE": str(key)}, *command)
        assert line == f"WEBAPP_ROOT_KEY_FILE: expected the root key with fingerprint {expected}, found {found} in {key}."
    line = refused({**environ, "WEBAPP_ROOT_KEY_FILE": str(none)})
    assert line.startswith(f"WEBAPP_ROOT_KEY_FILE: expected the root key with fingerprint {expected}, found no file at {none}.")
    assert not none.parent.exists(), "and none was made"
    assert contents(tmp_path / "data") == before


def test_with_a_certificate_everything_is_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    certificate, key = certificate_and_key(tmp_path)
    environ = {"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    environ |= {"WEBAPP_TLS_CERT_FILE": str(certificate), "WEBAPP_TLS_KEY_FILE": str(key)}
    assert run(environ, *ADMIN, text=PASSWORD).returncode == 0
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    printed = tmp_path / "printed"
    url = f"https://127.0.0.1:{port}"
    with running([sys.executable, "-m", "webapp", "serve"], port=port, log=printed):
        trust = ssl.create_default_context(cafile=str(certificate))
        with httpx2.Client(base_url=url, verify=trust, headers={"Sec-Fetch-Site": "same-origin"}) as client:
            answer = client.post("/login", data={"email": "ana@example.com", "password": PASSWORD})
            assert answer.status_code == 303
            assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
            cookies = answer.headers.get_list("set-cookie")
            assert sorted(cookie.partition("=")[0] for cookie in cookies) == ["__Host-device", "__Host-session"]
            assert all({"secure", "httponly", "path=/"} <= set(cookie.lower().split("; ")) for cookie in cookies)
            assert client.get("/registry-credentials").status_code == 200, "and the browser's cookie jar takes them"
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(f"http://127.0.0.1:{port}/livez")
    assert f"Serving on {url}\n" in printed.read_text()
    assert "/setup" not in printed.read_text()


@pytest.mark.parametrize("case", ["another-key", "key-with-a-passphrase", "exchanged", "no-pem"])
def test_files_that_are_no_certificate_with_its_key_are_a_wrong_setting(tmp_path: Path, case: str) -> None:
    certificate, key = certificate_and_key(tmp_path)
    if case == "another-key":
        (tmp_path / "b").mkdir()
        key = certificate_and_key(tmp_path / "b")[1]
    elif case == "key-with-a-passphrase":
        certificate, key = certificate_and_key(tmp_path, passphrase=b"hunter2")
    elif case == "exchanged":
        certificate, key = key, certificate
    else:
        certificate.write_text("no certificate")
    environ = {"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_TLS_CERT_FILE": str(certificate), "WEBAPP_TLS_KEY_FILE": str(key)}
    line = refused(environ)
    assert line.startswith(f"WEBAPP_TLS_CERT_FILE: {certificate} and {key} (WEBAPP_TLS_KEY_FILE) are no certificate")
    assert not (tmp_path / "data").exists()


def certificate_and_key(folder: Path, passphrase: bytes = b"") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "control plane of the tests")])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    kept = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kept))
    return certificate_file, key_file


def _fingerprint(said: str) -> str:
    """The fingerprint of the root key that a command has just made."""
    return said.partition("(fingerprint ")[2][:16]
