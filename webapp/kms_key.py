"""The words for a key of a KMS, which wraps the root key: what `WEBAPP_ROOT_KEY` and `rewrap-root --to` say. Nothing is asked here."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from webapp.setting_values import is_loopback, parse_host

AWS_KMS, TRANSIT = "aws-kms", "transit"
KINDS = (AWS_KMS, TRANSIT)

_ARN = re.compile(r"arn:aws[a-z-]{0,20}:kms:(?P<region>[a-z0-9-]{1,40}):[0-9]{12}:key/[A-Za-z0-9-]{1,64}", re.ASCII)
_PATH = re.compile(r"(?P<mount>(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){1,8})/(?P<name>[A-Za-z0-9_-][A-Za-z0-9._-]{0,127})", re.ASCII)

_EXAMPLES = "aws-kms:arn:aws:kms:eu-central-1:111122223333:key/…, or transit:https://vault.example.com:8200/transit/registry-credentials"


@dataclass(frozen=True, slots=True)
class AwsKmsKey:
    """A key of AWS KMS, by its ARN: an alias could be pointed at another key."""

    arn: str
    region: str

    kind = AWS_KMS

    def __str__(self) -> str:
        return f"{self.kind}:{self.arn}"


@dataclass(frozen=True, slots=True)
class TransitKey:
    """A key of a transit engine of OpenBao or Vault. `mount` may begin with namespaces: `team/transit`."""

    origin: str
    mount: str
    name: str

    kind = TRANSIT

    def __str__(self) -> str:
        return f"{self.kind}:{self.origin}/{self.mount}/{self.name}"


KmsKey = AwsKmsKey | TransitKey


def is_kms_key(text: str) -> bool:
    """Whether these are words for a key of a KMS, maybe wrong ones, and no path of a file."""
    return text.partition(":")[0] in KINDS and ":" in text


def parse_root_key(text: str) -> KmsKey | None:
    """The key of a KMS that these words name; None for `file`. Raises ValueError with a sentence."""
    kind, _, rest = text.partition(":")
    if text == "file":
        return None
    if kind == AWS_KMS:
        return _aws_kms_key(rest)
    if kind == TRANSIT:
        return _transit_key(rest)
    raise ValueError(f"it names no place of a root key. Write file, {_EXAMPLES}.")


def parse_service(text: str) -> str:
    """The address of a service, without a path: https, or http on this machine. Raises ValueError with a sentence."""
    origin, path = _service(text)
    if path not in {"", "/"}:
        raise ValueError("it has more than a host: take off what follows it.")
    return origin


def _aws_kms_key(arn: str) -> AwsKmsKey:
    found = _ARN.fullmatch(arn)
    if found is None:
        raise ValueError(f"it names no key of AWS KMS. Write the ARN of a key, no alias: {_EXAMPLES.partition(',')[0]}.")
    return AwsKmsKey(arn, found["region"])


def _transit_key(url: str) -> TransitKey:
    origin, path = _service(url)
    found = _PATH.fullmatch(path)
    if found is None or path.startswith("/v1/"):
        raise ValueError(f"it names no transit key: behind the host come the engine's mount and the key's name, without /v1. {_EXAMPLES}.")
    return TransitKey(origin, found["mount"].lstrip("/"), found["name"])


def _service(text: str) -> tuple[str, str]:
    """The origin and the path. The text is never quoted: who puts a password into it would see it in a log."""
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parse_host(parts.hostname or "")
        right = parts.scheme in {"https", "http"} and text.isprintable() and "%" not in host
    except ValueError:
        right = False
    if not right or "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError("it holds no address of a service. Write https:// and a host, without a user name or a query.")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"http:// is for this machine only, and {host} may be another. Write it with https://.")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}"), parts.path
