"""Email addresses: what is one, and when two are the same."""

import pytest

from webapp.accounts.account import name_from_email
from webapp.accounts.member import LONGEST_EMAIL, key_to_look_for, parse_email


@pytest.mark.parametrize("text", ["ana@example.com", "a@b", "o'neil+x@sub.example.org", "ä@exämple.de", "用户@例子.公司"])
def test_an_address_is_something_on_both_sides_of_one_at(text: str) -> None:
    assert parse_email(text).text == text


def test_it_is_trimmed_composed_and_found_whatever_its_case() -> None:
    email = parse_email("  A\u0308NA@Example.COM\n")
    assert email.text == "ÄNA@Example.COM"
    assert email.key == parse_email("äna@example.com").key == key_to_look_for(" ÄNA@EXAMPLE.com ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Enter an email address"),
        ("   ", "Enter an email address"),
        ("ana", "one @"),
        ("@example.com", "one @"),
        ("ana@", "one @"),
        ("ana@b@c", "one @"),
        ("a na@example.com", "Character 2"),
        ("ana@exam\u200bple.com", "Character 9"),
        ("ana@exam\x00ple.com", "Character 9"),
        ("ana@example.com\r\nBcc: x@y", "Character 16"),
        ("\u202eana@example.com", "Character 1"),
        ("ana\u3164@example.com", "Character 4"),
        ("ana\ufe0f@example.com", "Character 4"),
        ("x" * 250 + "@b.de", f"at most {LONGEST_EMAIL}"),
        ("ä" * 125 + "@b.de", "255 bytes"),
    ],
)
def test_it_says_what_is_wrong_with_an_address(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="email address") as caught:
        parse_email(text)
    assert says in str(caught.value)


def test_the_longest_address_is_one() -> None:
    assert len(parse_email("x" * (LONGEST_EMAIL - 5) + "@b.de").text) == LONGEST_EMAIL


def test_a_huge_address_takes_no_time() -> None:
    with pytest.raises(ValueError, match="at most"):
        parse_email("a" + "\u0301\u0327" * 30_000 + "@b.de")
    assert len(key_to_look_for("a" + "\u0301\u0327" * 30_000)) <= 4 * LONGEST_EMAIL


@pytest.mark.parametrize(
    ("email", "name"), [("ana@example.com", "example.com"), ("ana@" + "x" * 64, "Main"), ("ana@" + "x" * 63, "x" * 63)]
)
def test_an_account_without_a_name_is_named_after_the_domain(email: str, name: str) -> None:
    assert name_from_email(email).text == name


@pytest.mark.parametrize("text", ["ana@example.com\x00", "\udcff@example.org", "\ud83d"])
def test_nobody_is_found_by_what_no_database_takes(text: str) -> None:
    assert key_to_look_for(text) == ""
