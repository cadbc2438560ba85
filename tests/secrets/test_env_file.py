"""A .env file: what is in it, what is left out and why, and nothing of it in a message."""

import pytest

from webapp.secrets.env_file import MOST_BYTES, MOST_ENTRIES, EnvFile, parse_env_file


def values(file: EnvFile) -> dict[str, str]:
    return {entry.name.text: entry.value.reveal().decode() for entry in file.entries}


def refused(file: EnvFile) -> list[tuple[int, str]]:
    return [(refusal.line, refusal.name) for refusal in file.refused]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("A=", ""),
        ("export A=exported", "exported"),
        ("  A = spaced  ", "spaced"),
        ("A=value # a comment", "value"),
        ("A=va#lue", "va#lue"),
        ("A='single # $HOME \\n'", "single # $HOME \\n"),
        ('A="double\\nline"', "double\nline"),
        ('A="several\nlines"', "several\nlines"),
        ("A=${HOME}/x", "${HOME}/x"),
        ("A='it\\'s'", "it's"),
        ("A=\r", ""),
        ("A=größe", "größe"),
        ("A=a=b==", "a=b=="),
    ],
)
def test_quotes_comments_and_export_are_as_dotenv_has_them(line: str, value: str) -> None:
    assert values(parse_env_file(f"# first\n\n{line}\nZ=last\n".encode())) == {"A": value, "Z": "last"}


def test_every_line_that_is_left_out_says_why() -> None:
    file = parse_env_file(b"GOOD=1\n\nBAD NAME=2\n1ST=3\nA-B=4\nNOTHING\n=5\n_HIDDEN=6\nOPEN='7\n")
    assert values(file) == {"GOOD": "1"}
    assert refused(file) == [(3, ""), (4, ""), (5, "A-B"), (6, ""), (7, ""), (8, "_HIDDEN"), (9, "")]
    reasons = {refusal.line: refusal.reason for refusal in file.refused}
    assert "no NAME=value" in reasons[3]
    assert "begins with a letter" in reasons[4]
    assert reasons[6] == "There is no value: it is written NAME=value."
    assert "a quote in it does not end" in reasons[9]


def test_a_name_that_is_there_twice_is_refused_in_both_places() -> None:
    file = parse_env_file(b"A=1\nB=2\na=3\nA=4\n")
    assert values(file) == {"B": "2"}
    assert refused(file) == [(1, "A"), (3, "a"), (4, "A")]
    assert file.refused[0].reason == "This name is on lines 1, 3 and 4. Keep one of them."


def test_lines_are_counted_across_values_of_several_lines() -> None:
    assert refused(parse_env_file(b'A="1\n2\n3"\n\n# four\nBAD-NAME=x\n')) == [(6, "BAD-NAME")]


def test_a_value_that_is_too_long_is_left_out_and_not_repeated() -> None:
    file = parse_env_file(b"LONG=" + b"s3cret" * 12_000 + b"\nA=1\n")
    assert refused(file) == [(1, "LONG")]
    assert "s3cret" not in file.refused[0].reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "There is nothing in it"),
        (b" \n\t\n", "There is nothing in it"),
        (b"A=" + b"x" * MOST_BYTES, "Import at most 256 KiB"),
        (b"\xef\xbb\xbfA=1\n", "byte-order mark"),
        ("A=1\n".encode("utf-16"), "byte-order mark"),
        (b"A=1\nB=s3cret\xff\n", "Line 2 is not UTF-8"),
        (b"A=1\nB=s3cret\0\n", "Line 2: there is a NUL byte"),
        (b"".join(b"N%d=1\n" % number for number in range(MOST_ENTRIES + 1)), "more than 1000 names"),
        (b"s3cret is not a line\n" * 102, "More than 100 lines are no NAME=value, the first at line 1"),
        (b"%PDF-1.4\n" + b"=\n" * 120_000, "More than 100 lines"),
    ],
)
def test_what_is_no_env_file_is_refused_whole(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        parse_env_file(content)
    assert "s3cret" not in str(error.value)
    assert error.value.__context__ is None, "which would hold the text that it failed on"


def test_a_key_without_quotes_is_refused_before_its_lines_are_taken_for_names() -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEF" * 2 + "\nQw8ZJ3k=\n-----END PRIVATE KEY-----\n"
    with pytest.raises(ValueError, match="Line 2: a value of several lines, such as a key, stands in quotes") as error:
        parse_env_file(f"A=1\nKEY={key}".encode())
    assert "MIIE" not in str(error.value)
    assert values(parse_env_file(f"A=1\nKEY='{key}'\n".encode())) == {"A": "1", "KEY": key}


def test_blanks_that_would_keep_the_parser_busy_are_refused() -> None:
    # dotenv takes the square of a run's length: a second and a half for these.
    with pytest.raises(ValueError, match="Line 2: there are more than 100 blanks in a row"):
        parse_env_file(b"A=1\nB=x" + b" " * 32_000 + b"y\n")
    assert values(parse_env_file(b"B=x" + b" " * 100 + b"y\n")) == {"B": "x" + " " * 100 + "y"}


def test_an_empty_value_is_left_out_where_none_may_be() -> None:
    assert refused(parse_env_file(b"A=\nB=1\n", allow_empty=False)) == [(1, "A")]


def test_a_thousand_names_are_not_too_many() -> None:
    assert len(parse_env_file(b"".join(b"N%d=1\n" % number for number in range(MOST_ENTRIES))).entries) == MOST_ENTRIES
