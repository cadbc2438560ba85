"""What the audit log is filtered by: read from an address, and written into one."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from webapp.audit.filters import AuditFilter, parse_filter
from webapp.clock import DAY

NOVEMBER_3 = 1_793_664_000_000
"""3 November 2026, 00:00 UTC."""


def test_an_empty_address_filters_nothing() -> None:
    chosen, errors = parse_filter({})
    assert (chosen, errors) == (AuditFilter(), {})
    assert not chosen.narrows
    assert (chosen.since_ms, chosen.until_ms) == (None, None)
    assert chosen.address("/audit") == "/audit"


@pytest.mark.parametrize(
    "values",
    [
        {"action": "agent.enroll"},
        {"decision": "denied"},
        {"q": "a&b=c é"},
        {"since": "2026-11-03"},
        {"until": "2026-11-03"},
        {"action": "agent.enroll", "decision": "allowed", "q": "x", "since": "2024-02-29", "until": "2026-11-03"},
    ],
)
def test_what_is_chosen_is_in_the_address_of_the_next_page(values: dict[str, str]) -> None:
    chosen, errors = parse_filter(values)
    assert errors == {}
    assert chosen.narrows
    address = urlsplit(chosen.address("/audit", before="7-9"))
    assert address.path == "/audit"
    assert dict(parse_qsl(address.query)) == {**values, "before": "7-9"}


def test_both_days_are_included() -> None:
    chosen, _ = parse_filter({"since": "2026-11-03", "until": "2026-11-03"})
    assert (chosen.since_ms, chosen.until_ms) == (NOVEMBER_3, NOVEMBER_3 + DAY)


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-13-01",
        "2026-02-29",
        "2026-11-3",
        "03.11.2026",
        "20261103",
        "2026-W45-2",
        "2026-11-03T00:00",
        "1969-12-31",
        "9001-01-01",
        "0000-00-00",
        "\uff12\uff10\uff12\uff16-11-03",
        "2026-11-03\n2026-11-04",
        "' OR 1=1",
    ],
)
def test_a_date_that_is_none_is_named_and_filters_nothing(name: str, text: str) -> None:
    chosen, errors = parse_filter({name: text, "q": "x"})
    assert errors == {name: "Write the date as 2026-11-03."}
    assert chosen == AuditFilter(query="x")


@pytest.mark.parametrize("text", ["1970-01-01", "9000-12-31", " 2026-11-03 "])
def test_a_date_of_any_year_that_there_may_be_is_one(text: str) -> None:
    chosen, errors = parse_filter({"since": text, "until": text})
    assert errors == {}
    assert chosen.since_ms is not None
    assert chosen.until_ms == chosen.since_ms + DAY


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"action": "agent.fly"}, "There is no such action. Choose one of the list."),
        ({"action": "AGENT.ENROLL"}, "There is no such action. Choose one of the list."),
        ({"decision": "maybe"}, "Choose allowed or denied."),
    ],
)
def test_what_is_not_on_the_list_is_named_and_filters_nothing(values: dict[str, str], says: str) -> None:
    chosen, errors = parse_filter(values)
    assert list(errors.items()) == [(name, says) for name in values]
    assert not chosen.narrows


def test_a_search_is_trimmed_and_bounded() -> None:
    assert parse_filter({"q": "  x  "})[0].query == "x"
    assert len(parse_filter({"q": "x" * 5000})[0].query) == 200
