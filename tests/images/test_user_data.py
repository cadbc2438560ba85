"""User data: what a template may say, what it never may, and what it renders to."""

import base64
import json
import shlex

import pytest

from tests.images.user_data_corpus import BOMBS, ESCAPES, MORE_ESCAPES
from webapp.images.user_data import MOST_NAMES, MOST_OUTPUT, MOST_TEMPLATE, Store, parse_user_data

VALUES = {"A": "one\ntwo", "B": 'it\'s "quoted"\u2028', "STAGE": "prod"}


def value_of(store: Store, name: str) -> str:
    return VALUES[name]


def rendered(text: str) -> str:
    return parse_user_data(text).render(value_of)


def refusal(text: str) -> str:
    with pytest.raises(ValueError, match=r"^(Line [0-9]+: |The user data )") as refused:
        parse_user_data(text)
    return str(refused.value)


def test_text_stays_as_it_is() -> None:
    text = "#cloud-config\n\n# {not} a #{tag}\nruncmd:\n  - echo $HOME %s\n\n"
    assert rendered(text) == text


def test_it_puts_values_in_their_places_and_names_them_with_their_line() -> None:
    template = parse_user_data("a: {{ secrets.A|indent(3) }}\nb: {{ variables.STAGE }}\nc: {{ variables.STAGE }}\n")
    assert template.render(value_of) == "a: one\n   two\nb: prod\nc: prod\n"
    assert [(str(reference), reference.line) for reference in template.references] == [("secrets.A", 1), ("variables.STAGE", 2)]


def test_a_condition_chooses_one_branch_and_names_in_every_branch_count() -> None:
    text = "{% if variables.STAGE == 'test' %}t{{ secrets.A }}{% elif variables.STAGE != 'prod' %}n{% else %}p{{ secrets.B }}{% endif %}"
    template = parse_user_data(text)
    assert template.render(lambda store, name: {"STAGE": "test"}.get(name, name)) == "tA"
    assert template.render(lambda store, name: {"STAGE": "other"}.get(name, name)) == "n"
    assert template.render(lambda store, name: {"STAGE": "prod"}.get(name, name)) == "pB"
    assert {str(reference) for reference in template.references} == {"secrets.A", "secrets.B", "variables.STAGE"}


def test_only_the_branch_that_holds_opens_its_secrets() -> None:
    opened: list[str] = []

    def noted(store: Store, name: str) -> str:
        opened.append(name)
        return "x"

    parse_user_data("{% if variables.STAGE == 'prod' %}{{ secrets.A }}{% endif %}").render(noted)
    assert opened == ["STAGE"]


def test_raw_keeps_what_cloud_init_reads_itself() -> None:
    assert rendered("{% raw %}{{ ds.meta_data.x }}{% if y %}{% endraw %}") == "{{ ds.meta_data.x }}{% if y %}"
    assert "{% raw %}" in refusal("## template: jinja\n{{ ds.meta_data.x }}")
    assert refusal("## template: jinja\n{{ ds.meta_data.x }}").startswith("Line 2: ")


def test_the_filters_say_what_their_names_say() -> None:
    assert base64.b64decode(rendered("{{ secrets.B|b64encode }}")).decode() == VALUES["B"]
    assert json.loads(rendered("{{ secrets.B|tojson }}")) == VALUES["B"]
    assert "\u2028" not in rendered("{{ secrets.B|tojson }}"), "YAML would end the line there"
    assert shlex.split(rendered("x {{ secrets.B|quote }}")) == ["x", VALUES["B"]]
    assert rendered("{{ secrets.A|indent(2, true) }}") == "  one\n  two"
    assert rendered("{{ secrets.A|indent(width=2, first=true, blank=false)|b64encode }}") == base64.b64encode(b"  one\n  two").decode()


@pytest.mark.parametrize("text", [*ESCAPES, *MORE_ESCAPES])
def test_it_refuses_every_known_escape(text: str) -> None:
    assert refusal(f"#cloud-config\n{text}\n").startswith("Line 2: ")


@pytest.mark.parametrize("text", BOMBS)
def test_it_refuses_every_bomb(text: str) -> None:
    refusal(text)


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(set(ESCAPES)) == 100
    assert len(set(BOMBS)) == 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n{{ secrets.A", "Line 2: unexpected end of template"),
        ("{% if variables.STAGE == 'a' %}\n", "Line 1: Unexpected end of template"),
        ("a\nb\0c", "Line 2: there is a NUL"),
        ("a\n\nb\x1b[0m", "Line 3: there is a NUL or another control character"),
        ("\ud800", "Line 1: there is a NUL or another control character"),
        ("{{ secrets.A|upper }}", "Line 1: the filter upper is not available. Use b64encode, indent, tojson or quote."),
        ("{{ secrets.A|indent(65) }}", "Line 1: the filter indent takes a width from 0 to 64."),
        ("{{ secrets.A|indent('4') }}", "Line 1: the filter indent takes a whole number as width."),
        ("{{ secrets.A|indent(4, width=4) }}", "Line 1: the filter indent has width twice."),
        ("{{ secrets.A|indent(depth=4) }}", "Line 1: the filter indent has no argument of that name; it takes width, first, blank."),
        ("{{ secrets.A|quote(1) }}", "Line 1: the filter quote takes no arguments."),
        ("{{ secrets.A|quote|quote|quote|quote|quote }}", "Line 1: more than 4 filters follow one another."),
        ("{% if variables.STAGE %}a{% endif %}", "Line 1: a condition compares one name with a text"),
        ("a\n{{ secrets.A" + "|quote" * 200 + " }}", "Line 2: what stands between the braces is longer than 1000 characters."),
        ("{{ secrets." + "A" * 64 + " }}", "Line 1: a name has at most 63 characters, and AAAAAAAAAAAAAAAAAAAA… has 64."),
        ("x" * (MOST_TEMPLATE + 1), "The user data is longer than 64 KiB."),
    ],
)
def test_it_says_what_is_wrong_and_where(text: str, said: str) -> None:
    assert said.lower() in refusal(text).lower().replace("'", "")


def test_conditions_nest_only_so_deep() -> None:
    def nested(depth: int) -> str:
        return "{% if variables.STAGE == 'prod' %}" * depth + "x" + "{% endif %}" * depth

    assert rendered(nested(16)) == "x"
    assert "nested" in refusal(nested(17))
    assert "nested" in refusal(nested(1000))


def test_it_refers_to_only_so_many_names() -> None:
    parse_user_data("".join(f"{{{{ secrets.N{number} }}}}" for number in range(MOST_NAMES)))
    assert f"{MOST_NAMES} at most" in refusal("".join(f"{{{{ secrets.N{number} }}}}" for number in range(MOST_NAMES + 1)))


@pytest.mark.parametrize(
    "text", ["{{ secrets.A }}" * 5, "{{ secrets.A|quote|quote|quote|quote }}", "{{ secrets.A|indent(64)|indent(64) }}"]
)
def test_what_it_renders_to_is_bounded_too(text: str) -> None:
    template = parse_user_data(text)
    with pytest.raises(ValueError, match="more than 256 KiB") as refused:
        template.render(lambda store, name: "'\n" * 32 * 1024)
    assert len(str(refused.value)) < 200
    assert len(template.render(lambda store, name: "x" * (MOST_OUTPUT // 5))) <= MOST_OUTPUT
