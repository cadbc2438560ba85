"""The form of a secret or a variable, parsed once into typed values; a secret's value travels beside them and is never shown again."""

from dataclasses import dataclass

from webapp.names import Name, parse_description
from webapp.secrets.named_value import Kind, NamedValue, ValueFields, check_value, parse_value_name
from webapp.vault import Secret
from webapp.web.forms import Form, pasted_or_uploaded

LABELS = {"name": "Name", "value": "Value", "value_file": "Value", "description": "Description"}
"""The fields in the page's words, for the error summary."""


@dataclass(frozen=True, slots=True)
class ValueForm:
    """What was typed, to be shown again: of a secret everything but its value."""

    name: str = ""
    value: str = ""
    description: str = ""

    @classmethod
    def of(cls, stored: NamedValue) -> "ValueForm":
        """The form as it stands for one that is stored."""
        return cls(stored.name, stored.value or "", stored.description)

    @classmethod
    def read(cls, kind: Kind, form: Form) -> "ValueForm":
        """What was typed, as it was typed."""
        return cls(form.text("name"), "" if kind.sealed else form.text("value"), form.text("description"))


@dataclass(frozen=True, slots=True)
class ParsedValue:
    """The typed values; `value` is None when none was entered, and the stored one stays."""

    fields: ValueFields
    value: Secret | None


def parse(kind: Kind, form: Form, typed: ValueForm, *, new: bool) -> tuple[ParsedValue | None, dict[str, str]]:
    """The typed values of a form, or None and what is wrong by field. A new secret needs its value; a variable's may be empty."""
    errors: dict[str, str] = {}
    name, description = Name("", ""), ""
    try:
        name = parse_value_name(typed.name)
    except ValueError as error:
        errors["name"] = str(error)
    try:
        description = parse_description(typed.description)
    except ValueError as error:
        errors["description"] = str(error)
    value = _value(kind, form, errors, new=new)
    if errors:
        return None, errors
    return ParsedValue(ValueFields(name.text, name.key, description), value), {}


def _value(kind: Kind, form: Form, errors: dict[str, str], *, new: bool) -> Secret | None:
    try:
        value = pasted_or_uploaded(form, "value", "value_file")
        if value is None and not kind.sealed and form.has("value"):
            value = Secret(b"")
        if value is not None:
            check_value(value.reveal())
        elif new:
            raise ValueError("Enter the value, or choose a file that holds it.")
    except ValueError as error:
        errors["value_file" if form.upload("value_file") is not None else "value"] = str(error)
        return None
    return value
