"""What a form's page says where: the sentence that is tied to a field, the summary before all fields, what is filled in."""

import re
from html import unescape

HTMX = {"HX-Request": "true"}


def tag(page: str, field: str) -> str:
    """The start tag of the field's control."""
    found = re.search(rf'<(?:input|textarea|select|fieldset)\b[^>]*\bid="field-{field.replace("_", "-")}"[^>]*>', page)
    assert found is not None, f"there is no field {field}"
    return found[0]


def beside(page: str, field: str) -> str:
    """The error that the field is described by and marked as invalid for, or nothing."""
    described = re.search(r'aria-describedby="([^"]*)"', tag(page, field))
    ids = [id_ for id_ in (described[1].split() if described else []) if id_.endswith("-error")]
    if not ids:
        return ""
    said = re.search(rf'<p class="field-error" id="{ids[0]}">(.*?)</p>', page, re.DOTALL)
    assert said is not None, f"{ids[0]} is not there"
    return unescape(re.sub(r"<[^>]*>", "", said[1])).strip()


def summary(page: str) -> str:
    """The words of the error summary, which comes before every field and takes the focus; nothing where there is none."""
    found = re.search(r'<div class="error-summary" role="alert" tabindex="-1" autofocus>(.*?)</div>', page, re.DOTALL)
    if found is None:
        return ""
    form = page[page.index('class="form"') : found.start()]
    assert not re.search(r"<(input|textarea|select|fieldset)\b", form), "a field comes before the summary"
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found[1])).split())


def filled_in(page: str, field: str) -> str:
    """What stands in a text field."""
    control = tag(page, field)
    if control.startswith("<textarea"):
        return unescape(page[page.index(control) + len(control) :].partition("</textarea>")[0]).removeprefix("\n")
    value = re.search(r'\bvalue="([^"]*)"', control)
    return unescape(value[1]) if value else ""


def hidden(page: str, name: str) -> str:
    """The value of a hidden field, such as the version or the nonce."""
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', page)
    assert found is not None, f"there is no hidden field {name}"
    return found[1]


def names(page: str) -> list[str]:
    """The names in a list, in its order."""
    return [unescape(name) for name in re.findall(r'<th scope="row"><a href="[^"]+">([^<]+)</a>', page)]


def link(page: str, words: str) -> str | None:
    """Where the link with these words leads."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>(?:(?!</a>).)*{words}', page)
    return None if found is None else unescape(found[1])


def says(page: str) -> str:
    """All words of the page in one line, as a reader has them."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())
