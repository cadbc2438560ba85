"""A PostgreSQL of the tests' own: a cluster that `initdb` made, on a free port of 127.0.0.1, with passwords and with fsync.

It is a cluster as people have them, but in memory where there is a `/dev/shm`: fsync costs nothing there, so that it need not be off. The
server refuses to run as root, and runs as the user `postgres` where the tests are root. It is gone at the end, also when the tests are
killed. PostgreSQL 15 or newer.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests import system
from tests.real import process_tree
from tests.real.process import free_port
from tests.real.psql import Session
from tests.real.server_folder import as_postgres, give, is_in_memory, server_folder

SUPERUSER = "postgres"
ROLE = "registry"
"""Whom the program signs in as: it owns its database, and may do nothing else."""

START_TRIES = 3
START_SECONDS = 20
STOP_SECONDS = 10

_SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
wal_level = replica
max_wal_senders = 10
log_min_messages = warning
wal_retrieve_retry_interval = 100ms
"""
_SHORT_LIVED = "autovacuum = off\ncheckpoint_timeout = 1h\n"
"""Nothing in a test grows old enough for these; who measures has them as people do."""
_LOCALE = "C.UTF-8" if sys.platform == "linux" else "C"


@dataclass
class Cluster:
    """One server. `folder` has its `data`, and its `log` unless that was wanted elsewhere."""

    folder: Path
    port: int
    log: Path
    password: str = field(repr=False)
    """The superuser's, and that of the role that the program has."""
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        """The data folder, with `postgresql.conf` in it."""
        return self.folder / "data"

    def url(self, database: str, *others: "Cluster") -> str:
        """What WEBAPP_DATABASE_URL says for a database here, and on these others in whatever order they are asked.

        Without TLS, which the server has not: asyncpg would ask for it each time, and leave an error behind when it is cut off meanwhile.
        """
        hosts = ",".join(f"127.0.0.1:{cluster.port}" for cluster in (self, *others))
        return f"postgresql://{ROLE}:{quote(self.password, safe='')}@{hosts}/{quote(database, safe='')}?sslmode=disable"

    def new_database(self, template: str | None = None, *, icu_locale: str = "") -> str:
        """Make a database that the role owns, empty or with all that is in `template`, to which nobody may be connected; returns its name.

        Text is ordered by its bytes, or as the language of `icu_locale` has it (`en-US`), which is what many clusters do by default.
        """
        name = f"story_{secrets.token_hex(6)}"
        order = f"LOCALE_PROVIDER icu ICU_LOCALE '{icu_locale}'" if icu_locale else ""
        # In memory a copy of the files takes three quarters of the time of a copy by way of the log.
        self.sql(SUPERUSER, f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template or 'template0'} STRATEGY file_copy {order}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected."""
        self.sql(SUPERUSER, f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, database: str, statement: str) -> str:
        """Run a statement as the superuser; what it returns is a line for each row, with `|` between the values.

        What it makes is the superuser's own, unless it begins with `SET ROLE registry;`. Raises RuntimeError with PostgreSQL's words.
        """
        return self.run("psql", *self._psql(database), "-c", statement).removesuffix("\n")

    def session(self, database: str) -> Session:
        """A superuser's session, for who runs many statements: to start `psql` and connect takes longer than most of them."""
        return Session([system.postgresql() / "psql", *self._psql(database)], self.environ(), self.folder)

    async def execute(self, database: str, statement: str) -> str:
        """`sql` for an async test: other tasks go on meanwhile."""
        return await asyncio.to_thread(self.sql, database, statement)

    def start(self) -> None:
        """Start it, and return when it takes connections. Raises RuntimeError with the last lines of its log where it does not."""
        program = system.postgresql() / "postgres"
        command: list[str | Path] = [program, "-D", self.data, "-p", f"{self.port}", *self.options]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environ(),
                cwd=self.folder,
                start_new_session=True,  # an interrupt of the tests stops it when they are done with it
                **as_postgres(),
            )
        if not self._wait(START_SECONDS, self._is_ready):
            self.kill()
            last_lines = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
            raise RuntimeError(f"PostgreSQL does not start on port {self.port}. The log is {self.log} and ends in:\n{last_lines}")

    def stop(self) -> None:
        """Stop it in order ("fast"): transactions that are open are rolled back. Nothing happens where it does not run."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """Crash it: SIGKILL for the server and all that it has started, with no word to anybody. Nothing happens where it does not run."""
        if self.process is None:
            return
        process_tree.kill(self.process)
        self.process = None

    def restart(self) -> None:
        """Stop it in order and start it again, on the same port."""
        self.stop()
        self.start()

    def promote(self) -> None:
        """Make a primary of this standby, and return when it takes writes."""
        self.run("pg_ctl", "promote", "-s", "-w", "-D", f"{self.data}", as_server=True)

    def environ(self) -> dict[str, str]:
        """The environment for PostgreSQL's programs: the password, and nothing of whoever runs the tests."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        return {**kept, "HOME": f"{self.folder}", "LC_ALL": "C", "PGCLIENTENCODING": "UTF8", "PGPASSWORD": self.password}

    def run(self, name: str, *arguments: str, as_server: bool = False) -> str:
        """What one of PostgreSQL's programs prints, which finds the password; RuntimeError with its words where it fails."""
        done = subprocess.run(
            [system.postgresql() / name, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            env=self.environ(),
            cwd=self.folder,
            timeout=60,
            check=False,
            **(as_postgres() if as_server else {}),
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr.strip()}")
        return done.stdout

    def _psql(self, database: str) -> list[str]:
        where = ["-h", "127.0.0.1", "-p", f"{self.port}", "-U", SUPERUSER, "-d", database]
        return ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where]

    def _is_ready(self) -> bool:
        """The last line of the file by which `pg_ctl -w` knows as well; one that a crash left behind has another process's number."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return (
            self.process is not None and len(lines) == 8 and lines[0] == f"{self.process.pid}" and lines[7].strip() in {"ready", "standby"}
        )

    def _wait(self, seconds: float, until: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
            if until():
                return True
            time.sleep(0.01)
        return False


@contextlib.contextmanager
def postgresql_cluster(folder: Path | None = None, *, on_disk: bool = False) -> Iterator[Cluster]:
    """A new cluster that runs until the block ends; it is gone then, but for its log where a `folder` for that is given.

    It is in memory if there is room, unless it is to be `on_disk` (in the temporary directory), for those who measure.
    """
    # With the characters that careless code trips over.
    password = f"p%20@/:?#&+ 'é\\{secrets.token_urlsafe(16)}"
    with server_folder(on_disk=on_disk) as own:
        cluster = Cluster(own, 0, (folder or own) / "postgresql.log", password)
        _initialise(cluster)
        with _started(cluster):
            cluster.sql(SUPERUSER, f"CREATE ROLE {ROLE} LOGIN PASSWORD '{_verifier(password)}'")
            yield cluster


@contextlib.contextmanager
def standby_of(primary: Cluster, folder: Path | None = None) -> Iterator[Cluster]:
    """A second server, which has streamed all that the primary has; a commit on the primary waits for it, until the block ends.

    While the standby is down, commits on the primary wait. `standby.promote()` makes a primary of it.
    """
    with server_folder(on_disk=not is_in_memory(primary.folder)) as own:
        # Its name is what the primary knows it by.
        standby = Cluster(own, 0, (folder or own) / "standby.log", primary.password, ("-c", "cluster_name=standby"))
        source = ["-h", "127.0.0.1", "-p", f"{primary.port}", "-U", SUPERUSER]
        standby.run("pg_basebackup", *source, "-D", f"{standby.data}", "-R", "-X", "stream", "-c", "fast", "--no-sync", as_server=True)
        with _started(standby), _synchronous(primary):
            yield standby


@contextlib.contextmanager
def _synchronous(primary: Cluster) -> Iterator[None]:
    """Let the primary's commits wait for the standby."""
    _until(primary, "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'standby' AND state = 'streaming'")
    primary.sql(SUPERUSER, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    primary.sql(SUPERUSER, "SELECT pg_reload_conf()")
    _until(primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
    # The checkpointer tells the others that there is somebody to wait for: after this it has.
    primary.sql(SUPERUSER, "CHECKPOINT")
    try:
        yield
    finally:
        if primary.process is None:
            changed = primary.data / "postgresql.auto.conf"
            lines = changed.read_text(encoding="utf-8").splitlines(keepends=True)
            changed.write_text("".join(line for line in lines if not line.startswith("synchronous_standby_names")), encoding="utf-8")
        else:
            primary.sql(SUPERUSER, "ALTER SYSTEM RESET synchronous_standby_names")
            primary.sql(SUPERUSER, "SELECT pg_reload_conf()")


def _until(cluster: Cluster, count: str) -> None:
    """Raises RuntimeError where this query goes on counting nothing."""
    deadline = time.monotonic() + START_SECONDS
    while cluster.sql(SUPERUSER, count) == "0":
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL on port {cluster.port} goes on saying 0 to: {count}")
        time.sleep(0.02)


def _initialise(cluster: Cluster) -> None:
    words = cluster.folder / "password"
    words.write_text(f"{_verifier(cluster.password)}\n")
    give(words)
    how = ["--encoding=UTF8", f"--locale={_LOCALE}", "--no-sync", "--no-instructions", "--auth=scram-sha-256", f"--pwfile={words}"]
    cluster.run("initdb", "-D", f"{cluster.data}", "-U", SUPERUSER, *how, as_server=True)
    words.unlink()
    with (cluster.data / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(_SETTINGS + (_SHORT_LIVED if is_in_memory(cluster.folder) else ""))


@contextlib.contextmanager
def _started(cluster: Cluster) -> Iterator[None]:
    """Run it on a free port until the block ends."""
    try:
        for tries_left in reversed(range(START_TRIES)):
            cluster.port = free_port()
            try:
                cluster.start()
                break
            except RuntimeError:
                # Somebody may have taken the port between the look and the start.
                if not tries_left:
                    raise
        yield
    finally:
        cluster.stop()


def _verifier(password: str) -> str:
    """What PostgreSQL keeps of a password (RFC 5803), made with one round instead of 4096, which cost every connection 10 ms."""
    salt, rounds = secrets.token_bytes(16), 1
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    served = hmac.digest(salted, b"Server Key", "sha256")
    in_base64 = [base64.b64encode(value).decode() for value in (salt, stored, served)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *in_base64)
