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
    def read(cls, kind: Kind, form: Form, stored: NamedValue | None = None) -> "ValueForm":
        """What was typed, as it was typed. A file that was chosen does not come back: the stored text then stands in its place."""
        value = "" if kind.sealed else form.text("value")
        if not value and stored is not None and form.upload("value_file") is not None:
            value = stored.value or ""
        return cls(form.text("name"), value, form.text("description"))


@dataclass(frozen=True, slots=True)
class ParsedValue:
    """The typed values; `value` is None when none was entered, and the stored one stays."""

    fields: ValueFields
    value: Secret | None


def parse(kind: Kind, form: Form, typed: ValueForm, stored: NamedValue | None = None) -> tuple[ParsedValue | None, dict[str, str]]:
    """The typed values of a form, or None and what is wrong by field. A new one (without `stored`) needs its value."""
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
    value = _value(kind, form, errors, stored)
    if errors:
        return None, errors
    return ParsedValue(ValueFields(name.text, name.key, description), value), {}


def _value(kind: Kind, form: Form, errors: dict[str, str], stored: NamedValue | None) -> Secret | None:
    upload, text = form.upload("value_file"), form.secret("value")
    try:
        if text is not None and _is_as_stored(text, stored):
            # A variable's text was left as it stood in the form: an upload counts alone, and without one nothing is replaced.
            value = None if upload is None else upload.content
        else:
            value = pasted_or_uploaded(form, "value", "value_file")
        if value is None and stored is not None and not kind.sealed and text is None and form.has("value") and stored.value:
            value = Secret(b"")
        if value is not None:
            check_value(value.reveal())
        if (value is None and stored is None) or (value is not None and kind.sealed and not value.reveal()):
            raise ValueError("Enter the value, or choose a file that holds it.")
    except ValueError as error:
        errors["value_file" if upload is not None else "value"] = str(error)
        return None
    return value


def _is_as_stored(text: Secret, stored: NamedValue | None) -> bool:
    """Whether this is what the form was filled with: the stored text, as browsers send it back, with every line's end made LF."""
    if stored is None or stored.value is None:
        return False
    return text.reveal().decode("utf-8") == stored.value.replace("\r\n", "\n").replace("\r", "\n")
