"""What speaks as AWS KMS does: moto's server, a process of its own on a free port of 127.0.0.1.

It encrypts with AES-GCM and authenticates the encryption context, as AWS does.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.real.process import free_port, running

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "eu-central-1"


@dataclass(frozen=True)
class AwsKmsServer:
    """A running server."""

    origin: str

    def new_key(self) -> str:
        """Make a key; returns its ARN."""
        scope = f"Credential={ACCESS_KEY_ID}/20261103/{REGION}/kms/aws4_request"
        headers = {"X-Amz-Target": "TrentService.CreateKey", "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"}
        headers["Content-Type"] = "application/x-amz-json-1.1"
        answer = httpx2.post(self.origin, content=b"{}", headers=headers, trust_env=False)
        answer.raise_for_status()
        return str(answer.json()["KeyMetadata"]["Arn"])

    def settings(self, arn: str) -> dict[str, str]:
        """The variables for this key; boto3 has its own (`use_no_others`)."""
        return {"WEBAPP_ROOT_KEY": f"aws-kms:{arn}", "WEBAPP_AWS_KMS_ENDPOINT": self.origin}


def use_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3 find nothing: no variables, no files, and it asks no machine for a role."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@contextlib.contextmanager
def aws_kms_server() -> Iterator[AwsKmsServer]:
    """Run the server until the block ends."""
    with tempfile.TemporaryDirectory(prefix="aws-kms-") as folder:
        port = free_port()
        program = Path(sys.executable).with_name("moto_server")
        with running([program, "-H", "127.0.0.1", "-p", str(port)], port=port, log=Path(folder, "log")):
            yield AwsKmsServer(f"http://127.0.0.1:{port}")
