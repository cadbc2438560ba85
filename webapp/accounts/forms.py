"""The forms of set-up, sign-in and Settings, parsed once into typed values; passwords travel beside them and are never shown again."""

from dataclasses import dataclass

from webapp.accounts.account import Account
from webapp.accounts.member import Email, parse_email
from webapp.accounts.password import SHORTEST, check_new_password
from webapp.names import Name, parse_name
from webapp.roles import Role, role_of
from webapp.vault import Secret
from webapp.web.forms import Form

LABELS = {
    "account_name": "Organization name",
    "email": "Email",
    "password": "Password",
    "password_again": "Password again",
    "default_image_id": "Default image",
    "current_password": "Your password",
}
"""The fields in the page's words, for the error summary."""

SUGGESTED_NAME = "My organization"
"""What the set-up calls the account unless somebody says otherwise."""

WRONG = "The email address or the password is not right. Check both and try again."
"""One answer for all: it does not tell whether somebody has this address."""


@dataclass(frozen=True, slots=True)
class SetUpForm:
    """What was typed at set-up, to be shown again: everything but the password."""

    account_name: str = SUGGESTED_NAME
    email: str = ""

    @classmethod
    def read(cls, form: Form) -> "SetUpForm":
        """What was typed, as it was typed. A program may leave the account's name out."""
        return cls(form.text("account_name") if form.has("account_name") else SUGGESTED_NAME, form.text("email"))


@dataclass(frozen=True, slots=True)
class SetUpFields:
    """The first account and its first admin, as they were typed in."""

    account_name: Name
    email: Email
    password: Secret


def parse_set_up(form: Form, typed: SetUpForm) -> tuple[SetUpFields | None, dict[str, str]]:
    """The typed values, or None and what is wrong by field."""
    errors: dict[str, str] = {}
    name, email, password = parse_name(SUGGESTED_NAME), Email("", ""), form.secret("password")
    try:
        name = parse_name(typed.account_name.strip() or SUGGESTED_NAME)
    except ValueError as error:
        errors["account_name"] = str(error)
    try:
        email = parse_email(typed.email)
    except ValueError as error:
        errors["email"] = str(error)
    if password is None:
        errors["password"] = f"Choose a password of at least {SHORTEST} characters."
    else:
        try:
            check_new_password(password, email)
        except ValueError as error:
            errors["password"] = str(error)
    again = form.secret("password_again")
    if again is not None and again != password:
        errors["password_again"] = "This is not the same as the password. Type both again, or leave this one empty."  # noqa: S105  a sentence
    if errors or password is None:
        return None, errors
    return SetUpFields(name, email, password), {}


def parse_invitation(form: Form) -> tuple[tuple[Email, Role] | None, dict[str, str]]:
    """The address and the role of who is to be invited, or None and what is wrong by field."""
    errors: dict[str, str] = {}
    address, role = Email("", ""), role_of(form.text("role"))
    try:
        address = parse_email(form.text("email"))
    except ValueError as error:
        errors["email"] = str(error)
    if role is None:
        errors["role"] = "Choose one of the three roles."
    return (None, errors) if errors or role is None else ((address, role), {})


def parse_new_password(form: Form) -> tuple[Secret | None, dict[str, str]]:
    """A password that was typed twice, or None and what is wrong by field. The rule for a new one is checked where it is hashed."""
    password, again = form.secret("password"), form.secret("password_again")
    if password is None:
        return None, {"password": f"Choose a password of at least {SHORTEST} characters."}
    if again != password:
        return None, {"password_again": "This is not the same as the password. Type both again."}
    return password, {}


@dataclass(frozen=True, slots=True)
class SignInForm:
    """What was typed to sign in, to be shown again, and where to go on to: unverified until `local_path` has looked at it."""

    email: str = ""
    next: str = ""


def missing(form: Form) -> dict[str, str]:
    """What is not filled in to sign in, by field."""
    errors = {}
    if not form.text("email").strip():
        errors["email"] = "Enter your email address."
    if form.secret("password") is None:
        errors["password"] = "Enter your password."  # noqa: S105  a sentence
    return errors


@dataclass(frozen=True, slots=True)
class SettingsForm:
    """What was typed in Settings, to be shown again."""

    account_name: str
    default_image_id: str

    @classmethod
    def of(cls, account: Account) -> "SettingsForm":
        """The form as it stands for the account."""
        return cls(account.name, account.default_image_id or "")

    @classmethod
    def read(cls, form: Form, account: Account) -> "SettingsForm":
        """What was typed, as it was typed; a field that was not sent is left as it is."""
        stored = cls.of(account)
        return cls(
            form.text("account_name") if form.has("account_name") else stored.account_name,
            form.text("default_image_id") if form.has("default_image_id") else stored.default_image_id,
        )

    def parse(self) -> tuple[Name | None, dict[str, str]]:
        """The account's name, or None and what is wrong by field. Which images there are, only the repository knows."""
        try:
            return parse_name(self.account_name), {}
        except ValueError as error:
            return None, {"account_name": str(error)}
