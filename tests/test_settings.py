"""Settings: each variable's rule, and for each broken one a single line that names it."""

import socket
from ipaddress import ip_network
from pathlib import Path

import pytest

from webapp.database.sqlite import path_of
from webapp.errors import ConfigurationError
from webapp.setting_values import is_loopback
from webapp.settings import FROM_FILES, VARIABLES, Settings, unknown_variables

EVERYWHERE = "0.0.0.0"  # noqa: S104  refused, not listened on


def refusal(**environ: str) -> str:
    """The one line with which these variables are refused."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environ(environ)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    return line


def tls_files(folder: Path) -> dict[str, str]:
    """Two files that can be read; whether they are a pair is seen when the server starts."""
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_text("PEM")
    return {"WEBAPP_TLS_CERT_FILE": str(folder / "cert.pem"), "WEBAPP_TLS_KEY_FILE": str(folder / "key.pem")}


def test_nothing_set_is_a_server_for_this_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environ({})
    assert (settings.host, settings.port, settings.public_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert settings.data_dir == tmp_path / "data"
    assert settings.root_key_file == tmp_path / "data-key" / "root.key"
    assert path_of(settings.database_url).parent == tmp_path / "data"
    assert (settings.tls_cert_file, settings.tls_key_file, settings.official_images_file) == (None, None, None)
    assert settings.trusted_proxies == ()
    assert settings.log_level == "info"


def test_reading_the_settings_makes_nothing(tmp_path: Path) -> None:
    Settings.from_environ({"WEBAPP_DATA_DIR": str(tmp_path / "data")})
    assert list(tmp_path.iterdir()) == []


def test_set_to_nothing_is_not_set() -> None:
    assert Settings.from_environ(dict.fromkeys([*VARIABLES, *FROM_FILES], " ")) == Settings.from_environ({})


def test_the_key_is_beside_the_data_directory(tmp_path: Path) -> None:
    settings = Settings.from_environ({"WEBAPP_DATA_DIR": f"{tmp_path}/here/there/../store/"})
    assert settings.data_dir == tmp_path / "here" / "store"
    assert settings.root_key_file == tmp_path / "here" / "store-key" / "root.key"


@pytest.mark.parametrize("inside", ["root.key", "keys/root.key", "x/../root.key"])
def test_it_refuses_a_key_inside_the_data_directory(tmp_path: Path, inside: str) -> None:
    line = refusal(WEBAPP_DATA_DIR=str(tmp_path), WEBAPP_ROOT_KEY_FILE=f"{tmp_path}/{inside}")
    assert line.startswith("WEBAPP_ROOT_KEY_FILE: ")


def test_it_makes_the_data_directory_for_this_user_only(tmp_path: Path) -> None:
    settings = Settings.from_environ({"WEBAPP_DATA_DIR": str(tmp_path / "a" / "data")})
    settings.make_data_dir()
    assert settings.data_dir.stat().st_mode & 0o777 == 0o700


def test_it_says_why_the_data_directory_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.from_environ({"WEBAPP_DATA_DIR": str(tmp_path / "file" / "data")})
    with pytest.raises(ConfigurationError, match=r"^WEBAPP_DATA_DIR: .*Not a directory"):
        settings.make_data_dir()


@pytest.mark.parametrize("text", ["0", "65536", "-1", "8000.0", "eight", "٨٠٠٠", "1 2", "123456"])
def test_it_refuses_what_is_no_port(text: str) -> None:
    assert refusal(WEBAPP_PORT=text).startswith("WEBAPP_PORT: ")


@pytest.mark.parametrize("text", ["http://127.0.0.1", "[::1]", "*", "127.0.0.1:80", "a b", "-x", "a..b", "x" * 254])
def test_it_refuses_what_is_no_host(text: str) -> None:
    assert refusal(WEBAPP_HOST=text).startswith("WEBAPP_HOST: ")


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "credentials.example.com", "127.example.com", "::ffff:7f00:1", "127.1"])
def test_it_refuses_to_listen_beyond_loopback_without_tls(host: str, tmp_path: Path) -> None:
    line = refusal(WEBAPP_HOST=host)
    assert line.startswith("WEBAPP_HOST: ")
    assert "WEBAPP_TLS_CERT_FILE" in line
    assert "WEBAPP_PUBLIC_URL" in line
    assert Settings.from_environ({"WEBAPP_HOST": host, "WEBAPP_PUBLIC_URL": "https://credentials.example.com"}).host == host
    assert Settings.from_environ({"WEBAPP_HOST": host, **tls_files(tmp_path)}).public_url.startswith("https://")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_it_listens_on_loopback_without_tls(host: str) -> None:
    assert is_loopback(Settings.from_environ({"WEBAPP_HOST": host}).host)


def test_an_http_public_url_does_not_open_the_network() -> None:
    assert refusal(WEBAPP_HOST=EVERYWHERE, WEBAPP_PUBLIC_URL="http://127.0.0.1:8000").startswith("WEBAPP_HOST: ")


@pytest.mark.parametrize("given", ["WEBAPP_TLS_CERT_FILE", "WEBAPP_TLS_KEY_FILE"])
def test_a_certificate_and_its_key_come_together(given: str, tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    line = refusal(**{given: files.pop(given)})
    assert line.startswith(f"{next(iter(files))}: it is missing")
    assert given in line


@pytest.mark.parametrize("name", ["WEBAPP_TLS_CERT_FILE", "WEBAPP_TLS_KEY_FILE", "WEBAPP_OFFICIAL_IMAGES_FILE"])
def test_it_refuses_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    assert refusal(**{**tls_files(tmp_path), name: str(tmp_path / "none")}).startswith(
        f"{name}: {tmp_path}/none cannot be read (No such file"
    )
    assert refusal(**{**tls_files(tmp_path), name: str(tmp_path)}).startswith(f"{name}: {tmp_path} cannot be read (Is a directory")


def test_with_tls_everything_is_https(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    assert Settings.from_environ({**files, "WEBAPP_PORT": "443"}).public_url == "https://127.0.0.1"
    assert Settings.from_environ({**files, "WEBAPP_HOST": "::"}).public_url == f"https://{socket.gethostname()}:8000"
    assert refusal(**files, WEBAPP_PUBLIC_URL="http://127.0.0.1:8000").startswith("WEBAPP_PUBLIC_URL: ")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://credentials.example.com", "https://credentials.example.com"),
        ("HTTPS://Credentials.Example.COM:443/", "https://credentials.example.com"),
        ("https://credentials.example.com:8443", "https://credentials.example.com:8443"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("http://[0:0::1]:9000", "http://[::1]:9000"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
    ],
)
def test_the_public_url_is_as_a_browser_writes_it(text: str, origin: str) -> None:
    assert Settings.from_environ({"WEBAPP_PUBLIC_URL": text}).public_url == origin


@pytest.mark.parametrize(
    "text",
    [
        "credentials.example.com",
        "//credentials.example.com",
        "ftp://credentials.example.com",
        "https://",
        "https://:8443",
        "https://credentials.example.com:port",
        "https://credentials.example.com:99999",
        "https://credentials.example.com/app",
        "https://credentials.example.com/?",
        "https://credentials.example.com/#x",
        "https://ana:hunter2@credentials.example.com",
        "https://[::1",
        "https://[fe80::1%25eth0]",
        "https://créd.example.com",
        "https://a b",
        "https://credentials\t.example.com",
        "http://credentials.example.com",
        "http://192.0.2.1",
        "http://0.0.0.0:8000",
    ],
)
def test_it_refuses_what_is_no_public_url(text: str) -> None:
    line = refusal(WEBAPP_PUBLIC_URL=text)
    assert line.startswith("WEBAPP_PUBLIC_URL: ")
    assert "https://" in line
    assert "hunter2" not in line


def test_trusted_proxies_are_addresses_and_networks() -> None:
    settings = Settings.from_environ({"WEBAPP_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,,2001:db8::/32"})
    assert settings.trusted_proxies == (ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize("text", ["*", "proxy.example.com", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1 10.0.0.2", "10.0.0.1\n"])
def test_it_refuses_what_is_no_proxy(text: str) -> None:
    if text.strip() == "10.0.0.1":
        assert Settings.from_environ({"WEBAPP_TRUSTED_PROXIES": text}).trusted_proxies == (ip_network("10.0.0.1"),)
    else:
        assert refusal(WEBAPP_TRUSTED_PROXIES=text).startswith("WEBAPP_TRUSTED_PROXIES: ")


def test_the_database_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (f"sqlite:///{tmp_path}/a b%20c.db", f"{tmp_path}/a b c.db", "sqlite:///a%20b%20c.db", "./a b c.db"):
        assert path_of(Settings.from_environ({"WEBAPP_DATABASE_URL": text}).database_url) == tmp_path / "a b c.db"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ana:hunter2@db.example.com/",
        "postgresql://ana:hunter2@[db.example.com/store",
        "postgresql://ana:hun ter2@db.example.com/store",
        "mysql://ana:hunter2@db.example.com/store",
        "postgresql+asyncpg://ana:hunter2@db.example.com/store",
        "postgresql:hunter2",
        "sqlite://hunter2/store.db",
        "sqlite:///",
        "sqlite:///:memory:",
        ":memory:",
        "sqlite:///store.db?key=hunter2",
        "sqlite+aiosqlite:///hunter2.db",
    ],
)
def test_it_refuses_another_database_and_never_quotes_the_url(text: str, tmp_path: Path) -> None:
    line = refusal(WEBAPP_DATABASE_URL=text)
    assert line.startswith("WEBAPP_DATABASE_URL: ")
    assert "sqlite:///PATH" in line or "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in line
    (tmp_path / "url").write_text(text + "\n")
    from_file = refusal(WEBAPP_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert from_file.startswith("WEBAPP_DATABASE_URL_FILE: ")
    assert "hunter2" not in line + from_file


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/store.db\n")
    settings = Settings.from_environ({"WEBAPP_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert path_of(settings.database_url) == tmp_path / "store.db"
    assert settings.database_url not in repr(settings)


def test_it_refuses_a_secret_that_is_given_twice(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("sqlite:///a.db")
    line = refusal(WEBAPP_DATABASE_URL="sqlite:///a.db", WEBAPP_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert line.startswith("WEBAPP_DATABASE_URL and WEBAPP_DATABASE_URL_FILE are both set")


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b" \n", "empty"), (b"\xff\xfe", "UTF-8"), (None, "No such file")])
def test_it_refuses_a_file_without_a_value(content: bytes | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    line = refusal(WEBAPP_DATABASE_URL_FILE=str(tmp_path / "url"))
    assert line.startswith("WEBAPP_DATABASE_URL_FILE: ")
    assert reason in line


@pytest.mark.parametrize("text", ["0", "65", "-1", "four", "1.5", "٤", "1000"])
def test_it_refuses_what_is_no_number_of_processes(text: str) -> None:
    line = refusal(WEBAPP_PROCESSES=text)
    assert line == f"WEBAPP_PROCESSES: {text!r} is no number of processes. Write one from 1 to 64; as many as there are cores is usual."


def test_one_process_serves_unless_it_is_said() -> None:
    assert Settings.from_environ({}).processes == Settings.from_environ({"WEBAPP_PROCESSES": "1"}).processes == 1


def test_sqlite_is_refused_more_than_one_process() -> None:
    assert refusal(WEBAPP_PROCESSES="2").startswith("WEBAPP_PROCESSES: SQLite is one process; 2 need PostgreSQL.")
    assert refusal(WEBAPP_PROCESSES="64", WEBAPP_DATABASE_URL="sqlite:////tmp/x").startswith("WEBAPP_PROCESSES: SQLite is one process;")


@pytest.mark.parametrize("text", ["verbose", "10", "trace"])
def test_it_refuses_what_is_no_log_level(text: str) -> None:
    assert refusal(WEBAPP_LOG_LEVEL=text) == f"WEBAPP_LOG_LEVEL: {text!r} is no level. Write debug, info, warning or error."


def test_a_log_level_is_in_either_case() -> None:
    assert Settings.from_environ({"WEBAPP_LOG_LEVEL": "DEBUG"}).log_level == "debug"


@pytest.mark.parametrize(
    "name", ["WEBAPP_DATA_DIR", "WEBAPP_ROOT_KEY_FILE", "WEBAPP_DATABASE_URL", "WEBAPP_PORT", "WEBAPP_HOST", "WEBAPP_LOG_LEVEL"]
)
def test_a_line_stays_one_line_whatever_is_typed(name: str) -> None:
    assert name in refusal(**{name: "a\nb\x1b[31m"})


def test_a_variable_that_nobody_knows_is_a_hint() -> None:
    environ = {
        "WEBAPP_PROT": "hunter2",
        "WEBAPP_ZZZZZZ": "",
        "WEBAPP_PORT": "8000",
        "WEBAPP_DATABASE_URL_FILE": "",
        "PATH": "",
        "OTHER_PORT": "",
    }
    assert unknown_variables(environ) == [
        "WEBAPP_PROT is no setting, so it has no effect. Did you mean WEBAPP_PORT?",
        "WEBAPP_ZZZZZZ is no setting, so it has no effect.",
    ]
    Settings.from_environ({"WEBAPP_PROT": "x"})
