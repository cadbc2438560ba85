"""What became of a hand-over, as the agent reports it."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from webapp.errors import Invalid

MOST_ERROR = 2000

_MOST_READ = 32 * 1024
"""Characters of an error that are looked at: a token of 4,000 that it quotes is withheld as a whole, and only then the rest is cut off."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Result:
    """`digest` is the manifest's that was pulled; `error` what the agent saw, on one line: stored without secrets, `shortened`."""

    provision_id: str
    outcome: Literal["pulled", "failed"]
    digest: str | None
    error: str | None


def parse_result(body: Mapping[str, Any]) -> Result:
    """The result in the body of `POST /api/v1/provision/result`. Raises Invalid, naming every member that is wrong."""
    errors: dict[str, str] = {}
    provision_id = body.get("provision_id")
    if not isinstance(provision_id, str) or not _ID.fullmatch(provision_id):
        errors["provision_id"] = "provision_id: send the one that the provision came with."
    outcome = body.get("outcome")
    if outcome not in ("pulled", "failed"):
        errors["outcome"] = 'outcome: send "pulled" or "failed".'
    digest = body.get("digest")
    if digest is not None and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        errors["digest"] = "digest: send the manifest's digest, such as sha256: and 64 hexadecimal digits, or null."
    error = body.get("error")
    if error is not None and not isinstance(error, str):
        errors["error"] = "error: send a string, or null."
    if errors:
        raise Invalid(errors)
    return Result(str(provision_id), "pulled" if outcome == "pulled" else "failed", digest, _clean(error) if error else None)


def _clean(text: str) -> str:
    kept = (" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text if unicodedata.category(c) not in {"Cf", "Cs"})
    return " ".join("".join(kept).split())[:_MOST_READ]


def shortened(error: str) -> str:
    """As much of an error as is kept: 2,000 characters."""
    return error[:MOST_ERROR]
