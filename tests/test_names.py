"""Names and descriptions: what may stand in one, and the key that two engines sort and compare alike."""

import itertools
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.names import Name, key_of, parse_description, parse_name

INVISIBLE = {
    "tab": "\t",
    "line feed": "\n",
    "null": "\0",
    "delete": "\x7f",
    "next line": "\x85",
    "soft hyphen": "\u00ad",
    "combining grapheme joiner": "\u034f",
    "Arabic letter mark": "\u061c",
    "Hangul filler": "\u3164",
    "Khmer inherent vowel": "\u17b4",
    "Mongolian vowel separator": "\u180e",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "right-to-left mark": "\u200f",
    "right-to-left override": "\u202e",
    "right-to-left isolate": "\u2067",
    "pop directional isolate": "\u2069",
    "word joiner": "\u2060",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "byte-order mark": "\ufeff",
    "blank Braille cell": "\u2800",
    "variation selector": "\ufe0f",
    "variation selector of the supplement": "\U000e0100",
    "tag character": "\U000e0041",
    "half a surrogate pair": "\ud800",
    "private use": "\ue000",
    "no character": "\uffff",
    "unassigned": "\u0378",
}


def _nfd_caseless(text: str) -> str:
    """D145 of The Unicode Standard, section 3.13, as it is written there."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


@pytest.mark.parametrize(
    ("typed", "name", "key"),
    [
        ("ghcr-durantic", "ghcr-durantic", "ghcr-durantic"),
        ("  ghcr \n", "ghcr", "ghcr"),
        ("\u2003ghcr\u00a0", "ghcr", "ghcr"),
        ("GHCR Durantic", "GHCR Durantic", "ghcr durantic"),
        ("Cafe\u0301", "Café", "café"),
        ("STRASSE", "STRASSE", "strasse"),
        ("Straße", "Straße", "strasse"),
        ("\u212bngström", "\u00c5ngström", "\u00e5ngström"),
        ("\u0130", "\u0130", "i\u0307"),
        ("ΣΊΣΥΦΟΣ", "ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("日本のレジストリ", "日本のレジストリ", "日本のレジストリ"),
        ("🚀 images", "🚀 images", "🚀 images"),
        ("<b>", "<b>", "<b>"),
    ],
)
def test_it_trims_and_composes_a_name_and_folds_its_key(typed: str, name: str, key: str) -> None:
    assert parse_name(typed) == Name(name, key)


@pytest.mark.parametrize("typed", ["", " ", "\n\t", "\u3000\u00a0"])
def test_a_name_is_required(typed: str) -> None:
    with pytest.raises(ValueError, match=r"^Enter a name\.$"):
        parse_name(typed)


def test_a_name_has_63_characters_however_it_was_typed() -> None:
    assert parse_name("é" * 63).text == "é" * 63
    assert parse_name("e\u0301" * 63).text == "é" * 63, "126 code points, 63 when they are composed"
    assert parse_name(" " * 1000 + "a" * 63 + " " * 1000).text == "a" * 63
    assert parse_name(unicodedata.normalize("NFD", "\u1f82" * 63)).text == "\u1f82" * 63, "4 code points each when they are decomposed"
    with pytest.raises(ValueError, match=r"^The name has 64 characters\. Use at most 63\.$"):
        parse_name("é" * 64)
    with pytest.raises(ValueError, match=r"has 64 characters"):
        parse_name("e\u0301" * 64)
    with pytest.raises(ValueError, match=r"Use at most 5\."):
        parse_name("abcdef", limit=5)


@pytest.mark.parametrize("character", INVISIBLE.values(), ids=INVISIBLE.keys())
def test_it_refuses_what_nobody_sees(character: str) -> None:
    with pytest.raises(ValueError, match=rf"^Character 3 of the name \(U\+{ord(character):04X}\) is .+\. Take it out\.$"):
        parse_name(f"gh{character}cr")


def test_it_refuses_every_character_that_is_ignorable_by_default() -> None:
    ignorable = [*range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)]
    ignorable += [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)]
    ignorable += [*range(0x202A, 0x202F), 0x3164, 0xFEFF, 0xFFA0, *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)]
    for code_point in ignorable:
        with pytest.raises(ValueError, match=rf"U\+{code_point:04X}\b"):
            parse_name(f"a{chr(code_point)}b")


def test_a_long_run_of_combining_marks_costs_nothing() -> None:
    started = time.perf_counter()
    with pytest.raises(ValueError, match="120001 characters"):
        parse_name("a" + "\u0301\u0327" * 60_000)
    with pytest.raises(ValueError, match="120001 characters"):
        parse_description("a" + "\u0301\u0327" * 60_000)
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("GHCR", "ghcr"),
        ("Café", "CAFE\u0301"),
        ("Straße", "STRASSE"),
        ("\u1fb3", "\u0391\u0345"),
        ("\u03b1\u0345\u0301", "\u0386\u0399"),
        ("\u212a", "k"),
        ("q\u0323\u0307", "Q\u0307\u0323"),
        ("\u01c5", "\u01c4"),
    ],
)
def test_two_names_that_differ_in_case_or_composition_have_one_key(first: str, second: str) -> None:
    assert first != second
    assert parse_name(first).key == parse_name(second).key


@pytest.mark.parametrize(("first", "second"), [("resume", "résumé"), ("a b", "ab"), ("I\u0307", "i"), ("2", "²")])
def test_two_names_that_differ_otherwise_have_two(first: str, second: str) -> None:
    assert parse_name(first).key != parse_name(second).key


def test_the_key_of_a_key_is_that_key_for_every_character() -> None:
    for code_point in itertools.chain(range(0xD800), range(0xE000, 0x20000)):
        key = key_of(chr(code_point))
        assert key_of(key) == key, f"U+{code_point:04X}"


@given(st.text(max_size=12), st.text(max_size=12))
@settings(max_examples=200, deadline=None)
def test_keys_are_equal_exactly_for_a_canonical_caseless_match(first: str, second: str) -> None:
    assert (key_of(first) == key_of(second)) == (_nfd_caseless(first) == _nfd_caseless(second))
    assert key_of(unicodedata.normalize("NFC", first)) == key_of(unicodedata.normalize("NFD", first)) == key_of(key_of(first))


@given(st.text(max_size=70) | st.text("aé\u0301ßI\u0130\u0345 \u200b", max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_name_or_refused_and_a_name_stays_as_it_is(text: str) -> None:
    try:
        name = parse_name(text)
    except ValueError as refusal:
        sentence = str(refusal)
    else:
        assert parse_name(name.text) == name
        assert name.text == name.text.strip() == unicodedata.normalize("NFC", name.text)
        assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"} for character in name.text)
        return
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_description_may_be_empty_and_have_lines() -> None:
    assert parse_description("") == ""
    assert parse_description(" \n ") == ""
    assert parse_description("  one\r\ntwo\rthree\n\tfour \n") == "one\ntwo\nthree\n\tfour"
    assert parse_description("e\u0301") == "é"


def test_a_description_has_500_characters() -> None:
    assert len(parse_description("ü\n" * 249 + "üü")) == 500
    with pytest.raises(ValueError, match=r"^The description has 501 characters\. Use at most 500\.$"):
        parse_description("ü" * 501)
    with pytest.raises(ValueError, match=r"Use at most 3\."):
        parse_description("abcd", limit=3)


@pytest.mark.parametrize("character", [value for value in INVISIBLE.values() if value not in "\t\n"])
def test_a_description_holds_nothing_invisible_either(character: str) -> None:
    with pytest.raises(ValueError, match=rf"of the description \(U\+{ord(character):04X}\)"):
        parse_description(f"one\ntwo{character}three")
