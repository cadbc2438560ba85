"""Five hundred ways to have this server connect to where it must not: made from named families, each case the same in every run."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

PUBLIC = "93.184.215.14"
"""The only address of the public internet in these stories; nothing is sent to it either."""

INSIDE = (
    *("127.0.0.1", "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200"),
    *("168.63.129.16", "0.0.0.0", "192.0.0.192", "224.0.0.1", "255.255.255.255", "198.18.0.1", "203.0.113.7"),  # noqa: S104  never bound
)
NEVER = (
    *("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "224.0.0.1"),  # noqa: S104
    *("255.255.255.255", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
)
"""Where not even a name that the operator allowed may lead."""

IPV6 = (
    *("::1", "::", "fe80::1", "fe80::a9fe:a9fe", "fd00:ec2::254", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "2001:2::1", "3fff::1"),
    *("5f00::1", "100::1", "4000::1", "2001:10::1", "fd20:ce::254", "2620:4f:8000::1", "0:0:0:0:0:0:0:1", "2001:20::1", "2002::1"),
)

REGISTRY, TRAP = "{registry}", "{trap}"
"""In a case's text: the port of the registry that was allowed, and that of what must not be connected to. The registry is registry.test."""


@dataclass(frozen=True)
class Case:
    """`how`: the text is `typed` as a Registry URL, the `url` that is asked, the `realm` or the `redirect` of an allowed registry.

    `answers` are what looking a name up gives, first to last; none where the system is to read the text as an address. `allowed` is what
    the operator named.
    """

    family: str
    how: str
    text: str
    answers: tuple[tuple[str, ...], ...] = ()
    allowed: str = ""
    status: int = 401


def spellings(address: str) -> list[str]:
    """The same IPv4 address as inet_aton(3) reads it."""
    number, (a, b, c, d) = int(IPv4Address(address)), IPv4Address(address).packed
    return [
        address,
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{number & 0xFFFF}",
    ]


def embeddings(address: str) -> list[str]:
    """The same IPv4 address in each kind of IPv6 address that holds one."""
    number = int(IPv4Address(address))
    prefixes = [0xFFFF << 32, 0, 0xFFFF << 48, 0x64_FF9B << 96, 0x64_FF9B_0001 << 80]
    whole = [prefix | number for prefix in prefixes]
    six_to_four = 0x2002 << 112 | number << 80 | 1
    teredo = 0x2001 << 112 | number << 64 | 0xFFFFFFFF ^ number
    isatap = [0x2600_0001 << 96 | interface << 32 | number for interface in (0x0000_5EFE, 0x0200_5EFE)]
    return [str(IPv6Address(value)) for value in (*whole, six_to_four, teredo, *isatap)]


def _addresses() -> list[Case]:
    cases = []
    for address in INSIDE[:10]:
        for spelling in spellings(address):
            cases.append(Case("spelt otherwise, asked", "url", f"https://{spelling}:{TRAP}/v2/"))
            cases.append(Case("spelt otherwise, typed", "typed", f"{spelling}:{TRAP}"))
    for address in ("127.0.0.1", "10.0.0.5", "169.254.169.254", "192.168.1.1", "100.100.100.200", "8.8.8.8"):
        for embedded in embeddings(address):
            cases.append(Case("embedded, asked", "url", f"https://[{embedded}]:{TRAP}/v2/"))
            cases.append(Case("embedded, looked up", "typed", f"embedded.test:{TRAP}", ((embedded,),)))
    for address in IPV6:
        cases.append(Case("IPv6, typed", "typed", f"[{address}]:{TRAP}"))
        cases.append(Case("IPv6, looked up", "typed", f"six.test:{TRAP}", ((address,),)))
    return cases


def _names() -> list[Case]:
    cases = []
    for address in INSIDE:
        cases.append(Case("one of several", "typed", f"mixed.test:{TRAP}", ((PUBLIC, address),)))
        cases.append(Case("one of several", "typed", f"mixed.test:{TRAP}", ((address, PUBLIC),)))
    cases += [Case("rebinding", "typed", f"rebinding.test:{TRAP}", ((PUBLIC,), (address,), (address,))) for address in INSIDE[:12]]
    named = {
        "169.254.169.254": (
            "metadata.google.internal",
            "metadata.goog",
            "metadata.test",
            "169.254.169.254.nip.io",
            "instance-data.ec2.internal",
        ),
        "127.0.0.1": ("localhost", "localhost.localdomain", "127.0.0.1.nip.io", "lvh.me", "registry.test.evil.test", "a.b.c.d.e.f.test"),
        "10.96.0.1": ("kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "10-96-0-1.ip.test", "cname-to-inside.test"),
        "168.63.129.16": ("wireserver.test", "xn--mtadata-bya.test"),
        "::1": ("ip6-localhost.test",),
    }
    for address, names in named.items():
        cases += [Case("a name of the inside", "typed", f"{name}:{TRAP}", ((address,),)) for name in names]
        cases += [Case("with a dot at its end", "url", f"https://{name}.:{TRAP}/v2/", ((address,),)) for name in names[:2]]
    for address in NEVER:
        cases.append(Case("allowed, and leads astray", "typed", f"allowed.test:{TRAP}", ((address,),), f"http://allowed.test:{TRAP}"))
        cases.append(Case("allowed, one leads astray", "typed", f"allowed.test:{TRAP}", (("10.0.0.5", address),), f"allowed.test:{TRAP}"))
    return cases


def _texts() -> list[Case]:
    typed = (
        *("https://registry.test@127.0.0.1:{trap}/", "registry.test:pass@127.0.0.1:{trap}", "https://127.0.0.1:{trap}#@registry.test/"),
        *("https://127.0.0.1:{trap}?@registry.test/", "https://127.0.0.1:{trap}\\@registry.test/", "registry.test#@127.0.0.1:{trap}"),
        *("http:127.0.0.1:{trap}", "file:///etc/passwd", "gopher://127.0.0.1:{trap}/_x", "127.0.0.1:{trap}/v2/../.."),
        *("127.0.0.1%00.registry.test:{trap}", "127.0.0.1\t:{trap}", "127.0.0.1\r\nHost: x:{trap}", "①②⑦.⓪.⓪.①:{trap}"),
        *("127。0。0。1:{trap}", "[::1%25lo]:{trap}", "[::1%lo]:{trap}", "[fe80::1%eth0]:{trap}", "[::ffff:127.0.0.1]:{trap}"),
        *("[::1]:{trap}@registry.test", "127.0.0.1.:{trap}", "127.0.0.1:0{trap}", "127.0.0.1:{trap}:443"),
    )
    asked = (
        *(
            "https://registry.test@127.0.0.1:{trap}/",
            "https://127.0.0.1:{trap}#@registry.test/",
            "https://127.0.0.1:{trap}\\@registry.test/",
        ),
        *(
            "http://registry.test:{trap}/v2/",
            "https://registry.test:{trap}/v2/",
            "http://registry.test.:{registry}/v2/",
            "http://registry.test/",
        ),
        *(
            "http://127.0.0.1:{registry}/v2/",
            "http://[::1]:{registry}/v2/",
            "https://[::1%25lo]:{trap}/",
            "https://[fe80::1%25eth0]:{trap}/",
        ),
        *(
            "https://127.0.0.1:{trap}%2f@registry.test/",
            "https://%31%32%37.0.0.1:{trap}/",
            "HTTPS://127.0.0.1:{trap}/",
            "https:/127.0.0.1:{trap}",
        ),
        *("https://127.0.0.1:99999/", "https://127.0.0.1:0/", "https://./", "https://registry.test:{registry}@127.0.0.1:{trap}/"),
        *("ws://127.0.0.1:{trap}/", "https://127.0.0.1:{trap}/ HTTP/1.1", "https://127.0.0.1:{trap}/\r\nX: y", "https://ⓛocalhost:{trap}/"),
    )
    cases = [Case("tricks, typed", "typed", text) for text in typed]
    # The name leads to this machine as the registry's does; only its own scheme, host and port are allowed.
    return cases + [Case("tricks, asked", "url", text, (("127.0.0.1",),), "http://registry.test:{registry}") for text in asked]


def _sent_on() -> list[Case]:
    registry = "http://registry.test:{registry}"
    places = (
        *("http://127.0.0.1:{trap}/x", "https://127.0.0.1:{trap}/x", "http://[::1]:{trap}/x", "http://169.254.169.254/latest/meta-data/"),
        *("http://2130706433:{trap}/x", "https://0x7f.1:{trap}/x", "https://[::ffff:127.0.0.1]:{trap}/x", "https://10.0.0.5/x"),
        *("http://registry.test:{trap}/x", "https://registry.test:{registry}/x", "http://registry.test.:{registry}/x"),
        *(
            "http://registry.test:{registry}@127.0.0.1:{trap}/x",
            "http://127.0.0.1:{trap}#@registry.test:{registry}/",
            "//127.0.0.1:{trap}/x",
        ),
        *(
            "http://127.0.0.1:{trap}\\@registry.test:{registry}/",
            "http://registry.test:{registry}.evil.test/x",
            "https://evil.test:{trap}/x",
        ),
        *("file:///etc/passwd", "gopher://127.0.0.1:{trap}/_x", "https://metadata.google.internal/x", "https://localhost:{trap}/token"),
        *("http://127.0.0.1:{registry}/x", "http://[64:ff9b::7f00:1]:{trap}/x", "https://[::1%25lo]:{trap}/x"),
    )
    cases = [Case("realms", "realm", place, (("127.0.0.1",),) * 9, registry) for place in places]
    for status in (301, 302, 303, 307, 308):
        cases += [Case("redirects", "redirect", place, (("127.0.0.1",),) * 9, registry, status) for place in places[:5]]
    return cases


def corpus() -> list[Case]:
    """All of them."""
    return [*_addresses(), *_names(), *_texts(), *_sent_on()]


def of_family(family: str) -> list[Case]:
    """Those of one family."""
    return [case for case in corpus() if case.family == family]


FAMILIES = list(dict.fromkeys(case.family for case in corpus()))
