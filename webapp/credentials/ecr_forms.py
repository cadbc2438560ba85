"""The fields of Amazon ECR in the registry credential's form, and when the form offers this method in place of a password.

Grammars: access key ids and their prefixes, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html; ARNs of roles,
the same page; external ids, https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
"""

import re
from dataclasses import dataclass

from webapp.credentials.credential import ECR_USERNAME
from webapp.credentials.ecr_host import PUBLIC, is_region, looks_like_ecr
from webapp.credentials.parameters import EcrParameters
from webapp.registry.allowed import Origin, is_allowed
from webapp.vault import Secret
from webapp.web.forms import Form

_KEY_ID = re.compile(r"AKIA[A-Z0-9]{16}")
_LOOKS_LIKE_KEY_ID = re.compile(r"AKIA[A-Z0-9]{12,}|akia[a-z0-9]{16}|ASIA[A-Z0-9]{16}")  # and no user of asiapacific
_SECRET_KEY = re.compile(rb"[A-Za-z0-9/+=]{40}")
_ROLE = re.compile(r"arn:(?P<partition>aws[a-z-]*):iam::[0-9]{12}:role/(?:[\x21-\x7e]{1,510}/)?[A-Za-z0-9+=,.@_-]{1,64}")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9+=,.@:/\\_-]{2,1224}")
_EXAMPLE_ROLE = "arn:aws:iam::123456789012:role/pull-images"
_PARTITIONS = {"cn": "aws-cn", "us-gov": "aws-us-gov"}


@dataclass(frozen=True, slots=True)
class EcrTyped:
    """What was typed into the fields of Amazon ECR; `own_role` is "1" when it was ticked."""

    access_key_id: str = ""
    aws_region: str = ""
    role_arn: str = ""
    external_id: str = ""
    own_role: str = ""

    @classmethod
    def of(cls, parameters: str) -> "EcrTyped":
        """The fields as they stand for what is stored; empty where that is not in order."""
        try:
            found = EcrParameters.read(parameters)
        except ValueError:
            return cls()
        return cls(found.access_key_id, found.region, found.role_arn, found.external_id, "1" if found.own_role else "")

    @classmethod
    def read(cls, form: Form) -> "EcrTyped":
        """What was typed, as it was typed."""
        return cls(*(form.text(name) for name in cls.__slots__))


def offer(username: str, host: str) -> str:
    """Why Amazon ECR is the method for this user name at this host, as a sentence; empty where Password / Token is right."""
    if _LOOKS_LIKE_KEY_ID.fullmatch(username):
        return (
            "This is an access key id of AWS, and no registry takes one as a user name. With the method Amazon ECR it signs in: tokens are"
            " minted with it when agents need them."
        )
    if username.upper() == ECR_USERNAME and looks_like_ecr(host) is not None:
        return (
            "A token of Amazon ECR dies 12 hours after it was made, and images can no longer be pulled then. With the method Amazon ECR a"
            " new one is minted when an agent needs it."
        )
    return ""


def lasts(username: str) -> bool:
    """Whether what the offer is about can be stored all the same: a token works for a while, an access key id as a user name never does."""
    return _LOOKS_LIKE_KEY_ID.fullmatch(username) is None


def parse_ecr(
    form: Form, typed: EcrTyped, host: str, errors: dict[str, str], *, new: bool, own_role: frozenset[Origin] | None
) -> tuple[EcrParameters, Secret | None]:
    """The method's parameters and the secret access key, if one was entered; what is wrong goes into `errors` by field.

    `host` is empty where it was not right. `own_role` is where this server's own role may go besides Amazon ECR; None where it is
    switched off.
    """
    if host == PUBLIC:
        errors["registry_url"] = f"The images of {PUBLIC} are public: they need no credential. Choose “None (public image)” at the image."
    region = _region(typed.aws_region.strip().lower(), host, errors)
    key_id, secret = typed.access_key_id.strip(), form.secret("secret_access_key")
    if typed.own_role:
        key_id, secret = _no_keys(key_id, secret, host, errors, own_role), Secret(b"") if new else None
    else:
        _look_at_key_id(key_id, errors)
        _look_at_secret_key(secret, errors, new=new)
    role, external_id = typed.role_arn.strip(), typed.external_id.strip()
    if role:
        _look_at_role(role, region, errors)
    if external_id and not role:
        errors["external_id"] = "An external id goes with a role. Enter the role's ARN, or leave the external id empty."
    elif external_id and not _EXTERNAL_ID.fullmatch(external_id):
        errors["external_id"] = "An external id has 2 to 1224 letters, digits and + = , . @ : / \\ _ -. Enter that of the trust policy."
    return EcrParameters(region, key_id, role, external_id), secret


def _region(typed: str, host: str, errors: dict[str, str]) -> str:
    of_host = looks_like_ecr(host)
    if typed and not is_region(typed):
        errors["aws_region"] = f"This is no region of AWS. Enter one such as {of_host or 'eu-central-1'}."
    elif typed and of_host and typed != of_host:
        errors["aws_region"] = f"The host is in {of_host}, and its tokens come from there. Enter {of_host}, or leave the region empty."
    elif not typed and not of_host and host:
        errors["aws_region"] = f"{host} does not say in which region it is. Enter it, such as eu-central-1."
    return typed or of_host or ""


def _no_keys(key_id: str, secret: Secret | None, host: str, errors: dict[str, str], own_role: frozenset[Origin] | None) -> str:
    if own_role is None:
        errors["own_role"] = "This server's own role is not switched on (WEBAPP_AWS_OWN_ROLE). Enter an access key, or ask the operator."
    elif key_id or secret is not None:
        errors["own_role"] = "Either this server's own role signs in or an access key does. Untick it, or empty the access key's fields."
    elif host and looks_like_ecr(host) is None and not is_allowed(host, own_role):
        errors["registry_url"] = (
            f"{host} is no host of Amazon ECR, and this server's own role goes to no other. Enter one such as"
            " 123456789012.dkr.ecr.eu-central-1.amazonaws.com, or use an access key."
        )
    return ""


def _look_at_key_id(key_id: str, errors: dict[str, str]) -> None:
    if not key_id:
        errors["access_key_id"] = "Enter the access key id: AKIA and 16 letters and digits more."
    elif key_id.upper().startswith("ASIA"):
        errors["access_key_id"] = (
            "An access key id that begins with ASIA is a temporary one, which dies within hours. Enter a lasting one (AKIA…) of an IAM user"
            " that may only pull, with the ARN of a role where one is to be assumed."
        )
    elif not _KEY_ID.fullmatch(key_id):
        errors["access_key_id"] = f"An access key id is AKIA and 16 capital letters and digits more; this has {len(key_id)} characters."


def _look_at_secret_key(secret: Secret | None, errors: dict[str, str], *, new: bool) -> None:
    if secret is None:
        if new:
            errors["secret_access_key"] = "Enter the secret access key. AWS shows it once, when the access key is made."  # noqa: S105
        return
    value = secret.reveal()
    if _LOOKS_LIKE_KEY_ID.fullmatch(value.decode("utf-8", "replace")):
        errors["secret_access_key"] = "This is an access key id. The secret access key is the longer one, of 40 characters."  # noqa: S105
    elif len(value) != 40:
        errors["secret_access_key"] = f"A secret access key has 40 characters; this has {len(value)}, spaces included."
    elif not _SECRET_KEY.fullmatch(value):
        errors["secret_access_key"] = "A secret access key is of letters, digits, + and /. Paste it without spaces and without quotes."  # noqa: S105


def _look_at_role(role: str, region: str, errors: dict[str, str]) -> None:
    found = _ROLE.fullmatch(role)
    if found is None:
        hint = f"Enter one such as {_EXAMPLE_ROLE}."
        if ":assumed-role/" in role:
            errors["role_arn"] = f"This is a session of a role (assumed-role), and not the role itself. {hint}"
        elif ":user/" in role or ":root" in role:
            errors["role_arn"] = f"This is the ARN of a user, and not of a role. {hint}"
        else:
            errors["role_arn"] = f"This is no ARN of a role. {hint}"
        return
    partition = next((name for begin, name in _PARTITIONS.items() if region.startswith(begin + "-")), "aws")
    if region and found["partition"] != partition and not found["partition"].startswith(("aws-iso", "aws-eusc")):
        errors["role_arn"] = f"A role that is used in {region} has an ARN that begins with arn:{partition}:. Enter such a one."
