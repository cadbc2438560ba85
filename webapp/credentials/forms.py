"""The registry credential's form, parsed once into typed values; the secret travels beside them and is never shown again."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from webapp.credentials.credential import ECR_USERNAME, GCP_TOKEN_USERNAME, GCP_USERNAME, AuthMethod, Credential, CredentialFields
from webapp.credentials.ecr_forms import EcrTyped, lasts, offer, parse_ecr
from webapp.credentials.ecr_host import looks_like_ecr
from webapp.credentials.expiry import FROM_VALUE, TYPED, last_day, read_from, through
from webapp.credentials.parameters import GCP_ACCESS_TOKEN, HAND_OVERS, NONE
from webapp.credentials.service_account_key import check_key_file
from webapp.credentials.versions import KEEPING, USUAL
from webapp.names import parse_description, parse_name
from webapp.reference import RegistryHost
from webapp.registry.allowed import Origin
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
    "hand_over": "Hand over",
    "access_key_id": "Access key id",
    "secret_access_key": "Secret access key",
    "aws_region": "Region",
    "role_arn": "Role ARN",
    "external_id": "External id",
    "own_role": "Own role",
    "expires_on": "Expires on",
    "keep_previous": "Previous value",
    "test_image": "Image to test with",
    "only_if_works": "Replace only if it works",
}
"""The fields in the page's words, for the error summary."""

_T = TypeVar("_T")

_TEXTS = ("name", "description", "registry_url", "username", "expires_on", "store_anyway", "test_image", "only_if_works")

_NOT_STORED = ("test_image", "only_if_works")

_LONGEST_USERNAME = 255
_LONGEST_PASSWORD = 16 * 1024


@dataclass(frozen=True, slots=True)
class CredentialForm:
    """What was typed, to be shown again: everything but the secret.

    `store_anyway` and `only_if_works` are "1" when they were ticked; `preset` is a preset's key; `test_image` is what a test asks for
    besides the images that use the credential.
    """

    name: str = ""
    description: str = ""
    registry_url: str = ""
    auth_method: str = AuthMethod.PASSWORD.value
    username: str = ""
    hand_over: str = GCP_USERNAME
    expires_on: str = ""
    ecr: EcrTyped = field(default_factory=EcrTyped)
    store_anyway: str = ""
    preset: str = ""
    test_image: str = ""
    only_if_works: str = ""

    @classmethod
    def of(cls, credential: Credential) -> "CredentialForm":
        """The form as it stands for a credential that is stored."""
        shown = cls(credential.name, credential.description, credential.host, credential.auth_method.value)
        if credential.expires_at is not None and credential.expiry_source == TYPED:
            shown = replace(shown, expires_on=last_day(credential.expires_at))
        if credential.auth_method is AuthMethod.PASSWORD:
            return replace(shown, username=credential.username)
        if credential.auth_method is AuthMethod.GCP_SERVICE_ACCOUNT_KEY:
            return replace(shown, hand_over=credential.username)
        return replace(shown, ecr=EcrTyped.of(credential.parameters))

    @classmethod
    def read(cls, form: Form) -> "CredentialForm":
        """What was typed, as it was typed."""
        texts = {name: form.text(name) for name in _TEXTS}
        method, hand_over = form.text("auth_method") or AuthMethod.PASSWORD.value, form.text("hand_over") or GCP_USERNAME
        return cls(auth_method=method, hand_over=hand_over, ecr=EcrTyped.read(form), preset=form.text("chosen_preset"), **texts)

    def to_show(self) -> "CredentialForm":
        """The form for a page: without what stands before an @ in the Registry URL, which may well be a password."""
        return replace(self, registry_url=self.registry_url.rpartition("@")[2])

    @property
    def offer(self) -> str:
        """Why another method is the right one for what was typed, as a sentence; empty where this one is."""
        return "" if self.auth_method != AuthMethod.PASSWORD else offer(self.username.strip(), self.host)

    @property
    def lasts(self) -> bool:
        """Whether it can be stored all the same."""
        return lasts(self.username.strip())

    @property
    def host(self) -> str:
        """The host in the Registry URL; empty where it is not right."""
        try:
            return RegistryHost.parse(self.registry_url).host
        except ValueError:
            return ""

    def with_offer(self) -> "CredentialForm":
        """The form with the method that was offered, its preset, and the access key id and the host's region in their own fields."""
        ecr = self.ecr if self.lasts else replace(self.ecr, access_key_id=self.username.strip().upper())
        ecr = replace(ecr, aws_region=ecr.aws_region or looks_like_ecr(self.host) or "")
        return replace(self, auth_method=AuthMethod.AWS_ECR.value, ecr=ecr, username="", preset="ecr")

    def by_field(self) -> dict[str, str]:
        """What was typed, by the names of the fields that LABELS has."""
        own = {name: str(getattr(self, name)) for name in self.__slots__ if name in LABELS and name not in _NOT_STORED}
        return own | {name: getattr(self.ecr, name) for name in EcrTyped.__slots__}


@dataclass(frozen=True, slots=True)
class ParsedCredential:
    """The typed values; `secret` is None when none was entered. `notes` say what was taken off the Registry URL."""

    fields: CredentialFields
    secret: Secret | None
    notes: tuple[str, ...]
    keep: int = 0
    """Milliseconds for which the value that is replaced is kept."""


def parse(
    form: Form, typed: CredentialForm, *, new: bool, own_role: frozenset[Origin] | None = None
) -> tuple[ParsedCredential | None, dict[str, str]]:
    """The typed values of a form, or None and what is wrong by field. A `new` credential needs its secret.

    `own_role` is where this server's own role may go besides Amazon ECR; None where it is switched off.
    """
    errors: dict[str, str] = {}
    name = _take(errors, "name", lambda: parse_name(typed.name))
    description = _take(errors, "description", lambda: parse_description(typed.description))
    host = _take(errors, "registry_url", lambda: RegistryHost.parse(typed.registry_url))
    if typed.auth_method not in list(AuthMethod):
        return None, {**errors, "auth_method": "Choose Password / Token, GCP service account key or Amazon ECR."}
    method, parameters = AuthMethod(typed.auth_method), NONE
    if method is AuthMethod.PASSWORD:
        secret = _password(form, errors, new=new)
        username = _take(errors, "username", lambda: _username(typed, entered=secret is not None))
    elif method is AuthMethod.GCP_SERVICE_ACCOUNT_KEY:
        secret = _key(form, errors, new=new)
        username = typed.hand_over
        parameters = GCP_ACCESS_TOKEN if username == GCP_TOKEN_USERNAME else NONE
        if username not in HAND_OVERS:
            errors["hand_over"] = "Choose how the key is handed over: itself, or as a short-lived access token."
    else:
        ecr, secret = parse_ecr(form, typed.ecr, host.host if host else "", errors, new=new, own_role=own_role)
        username, parameters = ECR_USERNAME, str(ecr)
    expiry = _expiry(typed, method, secret, errors)
    keep = form.text("keep_previous") or USUAL
    if keep not in KEEPING:
        errors["keep_previous"] = "Choose for how long the previous value is kept."
    if errors or name is None or host is None or description is None or username is None:
        return None, errors
    fields = CredentialFields(name.text, name.key, description, host.host, method, username, parameters, *expiry)
    return ParsedCredential(fields, secret, host.notes, KEEPING[keep][1]), {}


def _expiry(typed: CredentialForm, method: AuthMethod, secret: Secret | None, errors: dict[str, str]) -> tuple[int | None, str]:
    """When the value expires, and whence that is known: what a token says itself comes before what was typed."""
    if method is AuthMethod.AWS_ECR:
        return None, ""
    read = None if secret is None or method is not AuthMethod.PASSWORD else read_from(secret.reveal())
    if read is not None:
        return read, FROM_VALUE
    if not typed.expires_on.strip():
        return None, ""
    return _take(errors, "expires_on", lambda: through(typed.expires_on)), TYPED


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


def _username(typed: CredentialForm, *, entered: bool) -> str:
    username = typed.username.strip()
    if typed.offer and not (typed.lasts and (typed.store_anyway or not entered)):
        raise ValueError(typed.offer)
    if not username:
        raise ValueError("Enter the user name. It is sometimes a fixed word, such as $token for an application token of Quay.")
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
