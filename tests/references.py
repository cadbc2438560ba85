"""The grammar of image references, for Hypothesis and as one expression: what the tests of `webapp/reference.py` are held against."""

import re

from hypothesis import strategies as st

# A complete reference (docstring of webapp/reference.py).
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
GRAMMAR = re.compile(
    rf"{_DOMAIN}/{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)

_labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?", fullmatch=True)
_ports = st.integers(1, 65535).map(lambda port: f":{port}")
NOTHING = st.just("")
_names_with_a_dot = st.lists(_labels, min_size=2, max_size=4).map(".".join)
_ipv6_groups = st.lists(st.integers(0, 0xFFFF), min_size=8, max_size=8)
_ipv6 = st.one_of(
    _ipv6_groups.map(lambda groups: "[" + ":".join(f"{group:x}" for group in groups) + "]"),
    st.sampled_from(["[::1]", "[2001:db8::1]", "[2001:DB8::A]", "[::]", "[fe80::]"]),
)
domains = st.one_of(
    st.tuples(_names_with_a_dot, NOTHING | _ports).map("".join),
    st.tuples(_labels, _ports).map("".join),
    st.tuples(st.just("localhost"), NOTHING | _ports).map("".join),
    st.tuples(_ipv6, NOTHING | _ports).map("".join),
    st.sampled_from(["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO", "LocalHost"]),
)
"""Every kind of domain that a reference may begin with."""

_parts = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}", fullmatch=True)
paths = st.lists(_parts, min_size=1, max_size=5).map("/".join)
tags = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True) | st.just("a" * 128)
digests = st.one_of(
    st.tuples(st.sampled_from([("sha256", 64), ("sha384", 96), ("sha512", 128)]), st.integers(0, 2**512)).map(
        lambda drawn: f"{drawn[0][0]}:{drawn[1]:0128x}"[: len(drawn[0][0]) + 1 + drawn[0][1]]
    ),
    st.from_regex(r"(blake3|multihash\+base58|a_b-c\.d):[0-9a-fA-F]{32,40}", fullmatch=True),
)
_begins_with_a_wrong_host = re.compile(r"[^/:]*_[^/:]*\.[^/:]*/|[^/:]*\.[^/:]*_[^/:]*/")
references = st.tuples(
    st.tuples(domains, st.just("/"), paths).map("".join) | paths.filter(lambda path: not _begins_with_a_wrong_host.match(path)),
    NOTHING | tags.map(lambda tag: f":{tag}"),
    NOTHING | digests.map(lambda digest: f"@{digest}"),
).map("".join)
"""References by the grammar, with and without a domain. Without one the first part may be a host (`a.b/c`): with a dot, it holds no `_`."""
