"""The command line as people and scripts use it: exit statuses, what goes to which stream, help and settings."""

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.server import run, serve
from tests.personas import PASSWORD
from tests.stories import TOKEN
from webapp import __version__
from webapp.cli import main, parse_lifetime
from webapp.clock import DAY, HOUR, MINUTE
from webapp.settings import FROM_FILES, VARIABLES

Shell = Callable[..., subprocess.CompletedProcess[str]]

COMMANDS = {
    "serve": ["serve"],
    "create-admin": ["create-admin", "--email", "ana@example.com", "--password-stdin"],
    "bootstrap-token": ["bootstrap-token"],
    "check": ["check"],
    "audit": ["audit", "verify"],
    "rotate-key": ["rotate-key"],
    "rewrap-root": ["rewrap-root", "--to", "/nonexistent/root.key"],
    "backup": ["backup", "/nonexistent/backup.db"],
    "restore": ["restore", "/nonexistent/backup.db", "--agents", "keep"],
}


@pytest.fixture(scope="module")
def logs() -> list[Path]:
    """The logs of the servers that ran."""
    return []


@pytest.fixture(scope="module", params=["in-the-server", "alone"])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, logs: list[Path]) -> Iterator[Shell]:
    """The command line on a store that has its admin, ana."""
    folder: Path = tmp_path_factory.mktemp("cli")
    if request.param == "in-the-server":
        with serve(folder) as server:
            assert server.run(*COMMANDS["create-admin"], text=PASSWORD + "\n").returncode == 0
            logs.append(server.log)
            yield server.run
    else:
        environ = {"WEBAPP_DATA_DIR": str(folder / "data")}
        assert run(environ, *COMMANDS["create-admin"], text=PASSWORD + "\n").returncode == 0
        yield lambda *arguments, text="": run(environ, *arguments, text=text)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*VARIABLES, *FROM_FILES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_an_admin_is_made(shell: Shell) -> None:
    made = shell("create-admin", "--email", "bo@example.com", "--password-stdin", text=PASSWORD + "\n")
    assert (made.returncode, made.stdout, made.stderr) == (0, "Made the admin bo@example.com.\n", "")


def test_a_password_that_is_too_short_is_refused_and_not_shown(shell: Shell) -> None:
    refused = shell("create-admin", "--email", "cy@example.com", "--password-stdin", text="hunter2\n")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith("registry-credentials: The password has 7 characters. Use at least 15")
    assert "hunter2" not in refused.stderr


def test_a_script_reads_the_token_from_standard_output(shell: Shell, logs: list[Path]) -> None:
    token = shell("bootstrap-token", "--lifetime", "1h", "--description", "rack 1", "--allow-reenrolment")
    assert token.returncode == 0, token.stderr
    assert TOKEN.fullmatch(token.stdout.removesuffix("\n"))
    assert token.stderr.startswith("It enrols agents until ")
    for log in logs:
        text = log.read_text()
        assert token.stdout.strip() not in text
        assert PASSWORD not in text


def test_check_says_that_all_is_well(shell: Shell) -> None:
    checked = shell("check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "registry credentials: 0 open, 0 do not" in checked.stdout.splitlines()


def test_the_log_is_verified(shell: Shell) -> None:
    verified = shell("audit", "verify")
    assert (verified.returncode, verified.stderr) == (0, "")
    assert verified.stdout.startswith("Chain ")
    assert "The log is whole" in verified.stdout


def test_a_rotation_says_what_it_did(shell: Shell) -> None:
    first, second = shell("rotate-key"), shell("rotate-key")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == "Key 5 seals now; 0 values were put under it.\nKey 1 is retired: nothing that is stored needs it. Backups may.\n"
    assert second.stdout.startswith("Key 6 seals now; 0 values")
    assert shell("check").returncode == 0


def test_alone_it_says_where_the_new_root_key_is_and_only_a_token_goes_to_standard_output(tmp_path: Path) -> None:
    refused = run({"WEBAPP_DATA_DIR": str(tmp_path / "data")}, "bootstrap-token")
    assert (refused.returncode, refused.stdout) == (1, "")
    key, warning, reason = refused.stderr.splitlines()
    assert key.startswith(f"Made a root key: {tmp_path}/data-key/root.key (fingerprint ")
    assert "Keep a copy" in warning
    assert "create-admin" in reason


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBAPP_PORT", "eight"),
        ("WEBAPP_DATABASE_URL", "mysql://ana:hunter2@db.example.com/store"),
        ("WEBAPP_HOST", "192.0.2.1"),
        ("WEBAPP_PUBLIC_URL", "http://keys.example.com"),
        ("WEBAPP_ROOT_KEY_FILE", "data/root.key"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    command: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PASSWORD.encode())))
    assert main(COMMANDS[command]) == 78
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"registry-credentials: {name}: ")
    assert "hunter2" not in line
    assert list(tmp_path.iterdir()) == [], "nothing was opened or made"


def test_a_setting_that_only_the_start_finds_wrong_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = run({"WEBAPP_DATA_DIR": str(tmp_path / "file" / "data")}, "check")
    assert (refused.returncode, refused.stdout) == (78, "")
    assert refused.stderr.startswith("registry-credentials: WEBAPP_DATA_DIR: ")
    assert refused.stderr.count("\n") == 1


def test_a_misspelt_setting_is_a_hint_and_no_error(tmp_path: Path) -> None:
    checked = run({"WEBAPP_DATA_DIR": str(tmp_path / "data"), "WEBAPP_PUBLIC_ULR": "hunter2"}, "check")
    assert checked.returncode == 0
    hint, *_ = checked.stderr.splitlines()
    assert hint == "registry-credentials: WEBAPP_PUBLIC_ULR is no setting, so it has no effect. Did you mean WEBAPP_PUBLIC_URL?"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["backup"],
        ["serve", "--port", "9000"],
        ["create-admin"],
        ["create-admin", "--email", "ana@example.com"],
        ["create-admin", "--email", "ana@example.com", "--password", "hunter2"],
        ["create-admin", "--password-stdin"],
        ["bootstrap-token", "--lifetime", "10"],
        ["bootstrap-token", "--life", "10m"],
        ["check", "all"],
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "usage: registry-credentials" in printed.err
    assert list(tmp_path.iterdir()) == []


def test_a_password_of_more_than_64_kib_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = io.BytesIO(b"x" * (1024 * 1024))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
    assert main(COMMANDS["create-admin"]) == 1
    assert capsys.readouterr().err == "registry-credentials: The password is longer than 64 KiB.\n"
    assert given.tell() < 128 * 1024
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [
        ("1m", MINUTE),
        ("10m", 10 * MINUTE),
        ("0010m", 10 * MINUTE),
        ("8h", 8 * HOUR),
        ("24h", DAY),
        ("365d", 365 * DAY),
        ("525600m", 365 * DAY),
    ],
)
def test_a_lifetime_is_a_number_and_a_unit(text: str, lifetime: int) -> None:
    assert parse_lifetime(text) == lifetime


@pytest.mark.parametrize(
    "text",
    ["", "10", "m", "0m", "-1m", "+1m", "1.5h", "10 m", " 10m", "10m\n", "10M", "10s", "1w", "366d", "8761h", "1h30m", "٣m", "9" * 7 + "m"],
)
def test_it_refuses_what_is_no_lifetime(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 1m to 365d, such as 10m or 30d"):
        parse_lifetime(text)


def test_without_a_lifetime_it_is_10_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bootstrap-token", "--help"])
    assert "1m to 365d: minutes (m), hours (h) or days (d); 10m" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([*(command[:1]), "--help"] for command in COMMANDS.values())])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import json, sys\nfrom webapp.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
        "    print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert "registry-credentials" in done.stdout
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr)}
    heavy = {"argon2", "asyncio", "cryptography", "databases", "h11", "jinja2", "sqlalchemy", "sqlite3", "ssl", "starlette", "uvicorn"}
    assert loaded & heavy == set()


def test_the_help_has_every_command_setting_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for word in (*COMMANDS, "agent", *VARIABLES, *(f"\n  {status:<4}" for status in (0, 1, 2, 70, 75, 78))):
        assert word in printed


def test_the_program_is_installed_beside_python() -> None:
    program = Path(sys.executable).with_name("registry-credentials")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"registry-credentials {__version__}\n"
