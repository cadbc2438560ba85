"""The registry credential's form, parsed once into typed values; the secret travels beside them and is never shown again."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from webapp.credentials.credential import GCP_USERNAME, AuthMethod, Credential, CredentialFields
from webapp.credentials.service_account_key import check_key_file
from webapp.credentials.versions import KEEPING, USUAL
from webapp.names import parse_description, parse_name
from webapp.reference import RegistryHost
from webapp.vault import Secret
from webapp.web.forms import Form, pasted_or_uploaded

LABELS = {
    "name": "Name",
    "description": "Description",
    "registry_url": "Registry URL",
    "auth_method": "Authentication method",
    "username": "Username",
    "password": "Password or token",
    "service_account_key": "Service account key",
    "service_account_key_file": "Service account key",
    "keep_previous": "Previous value",
}
"""The fields in the page's words, for the error summary."""

_T = TypeVar("_T")

_LONGEST_USERNAME = 255
_LONGEST_PASSWORD = 16 * 1024


@dataclass(frozen=True, slots=True)
class CredentialForm:
    """What was typed, to be shown again: everything but the secret."""

    name: str = ""
    description: str = ""
    registry_url: str = ""
    auth_method: str = AuthMethod.PASSWORD.value
    username: str = ""

    @classmethod
    def of(cls, credential: Credential) -> "CredentialForm":
        """The form as it stands for a credential that is stored."""
        username = credential.username if credential.auth_method is AuthMethod.PASSWORD else ""
        return cls(credential.name, credential.description, credential.host, credential.auth_method.value, username)

    @classmethod
    def read(cls, form: Form) -> "CredentialForm":
        """What was typed, as it was typed."""
        method = form.text("auth_method") or AuthMethod.PASSWORD.value
        return cls(form.text("name"), form.text("description"), form.text("registry_url"), method, form.text("username"))

    def to_show(self) -> "CredentialForm":
        """The form for a page: without what stands before an @ in the Registry URL, which may well be a password."""
        return replace(self, registry_url=self.registry_url.rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class ParsedCredential:
    """The typed values; `secret` is None when none was entered. `notes` say what was taken off the Registry URL."""

    fields: CredentialFields
    secret: Secret | None
    notes: tuple[str, ...]
    keep: int = 0
    """Milliseconds for which the value that is replaced is kept."""


def parse(form: Form, typed: CredentialForm, *, new: bool) -> tuple[ParsedCredential | None, dict[str, str]]:
    """The typed values of a form, or None and what is wrong by field. A `new` credential needs its secret."""
    errors: dict[str, str] = {}
    name = _take(errors, "name", lambda: parse_name(typed.name))
    description = _take(errors, "description", lambda: parse_description(typed.description))
    host = _take(errors, "registry_url", lambda: RegistryHost.parse(typed.registry_url))
    if typed.auth_method not in list(AuthMethod):
        return None, {**errors, "auth_method": "Choose Password / Token or GCP service account key."}
    method = AuthMethod(typed.auth_method)
    if method is AuthMethod.PASSWORD:
        username = _take(errors, "username", lambda: _username(typed.username))
        secret = _password(form, errors, new=new)
    else:
        username = GCP_USERNAME
        secret = _key(form, errors, new=new)
    keep = form.text("keep_previous") or USUAL
    if keep not in KEEPING:
        errors["keep_previous"] = "Choose for how long the previous value is kept."
    if errors or name is None or host is None or description is None or username is None:
        return None, errors
    fields = CredentialFields(name.text, name.key, description, host.host, method, username)
    return ParsedCredential(fields, secret, host.notes, KEEPING[keep][1]), {}


def key_file_secret(form: Form) -> Secret:
    """The service account key in the form: the uploaded file byte for byte, or the pasted text with CRLF made LF.

    Raises ValueError with a sentence, also when both are there, or none.
    """
    secret = pasted_or_uploaded(form, "service_account_key", "service_account_key_file")
    if secret is None:
        raise ValueError("Paste the JSON of the service account key, or upload the .json key file.")
    check_key_file(secret.reveal(), uploaded=form.upload("service_account_key_file") is not None)
    return secret


def _take(errors: dict[str, str], field: str, parsed: Callable[[], _T]) -> _T | None:
    try:
        return parsed()
    except ValueError as error:
        errors[field] = str(error)
        return None


def _username(text: str) -> str:
    username = text.strip()
    if not username:
        raise ValueError("Enter the user name. It is often a fixed word: AWS for ECR, $token for Quay.")
    if len(username) > _LONGEST_USERNAME:
        raise ValueError(f"The user name has {len(username)} characters. Use at most {_LONGEST_USERNAME}.")
    if ":" in username:
        raise ValueError(
            "A user name cannot hold a colon (RFC 7617): registries read what follows as the password. Enter only what stands before it."
        )
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in username):
        raise ValueError("The user name holds a control or an invisible character. Type it instead of pasting it.")
    return username


def _password(form: Form, errors: dict[str, str], *, new: bool) -> Secret | None:
    secret = form.secret("password")
    if secret is None:
        if new:
            errors["password"] = "Enter the password or token."  # noqa: S105  a sentence
        return None
    value = secret.reveal()
    if len(value) > _LONGEST_PASSWORD:
        errors["password"] = f"The password has {len(value)} bytes. Use at most {_LONGEST_PASSWORD}."
    elif value.startswith(b"\xef\xbb\xbf"):
        errors["password"] = "The password begins with a byte-order mark. Paste it without one."  # noqa: S105  a sentence
    elif any(byte < 32 or byte == 127 for byte in value):
        errors["password"] = "The password holds a line break or a control character, which no registry takes (RFC 7617). Paste it without."  # noqa: S105
    return secret


def _key(form: Form, errors: dict[str, str], *, new: bool) -> Secret | None:
    nothing = form.upload("service_account_key_file") is None and form.secret("service_account_key") is None
    if nothing and not new:
        return None
    try:
        return key_file_secret(form)
    except ValueError as error:
        errors["service_account_key_file" if form.upload("service_account_key_file") is not None else "service_account_key"] = str(error)
        return None
