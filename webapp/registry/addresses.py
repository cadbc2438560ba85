"""Which IP addresses a host that a person typed must not lead to: everything that is not the public internet, and this machine's own.

An explicit list, since the standard library's `is_global` has changed between versions of Python. Sources, read in 2026:

- https://www.iana.org/assignments/iana-ipv4-special-registry and https://www.iana.org/assignments/iana-ipv6-special-registry
- https://www.iana.org/assignments/ipv6-address-space: only 2000::/3 is global unicast, so that all else of IPv6 is forbidden
- what clouds answer a machine at, with its own credentials: AWS 169.254.169.254, 169.254.170.2 and .23, fd00:ec2::254 and ::23; Google
  169.254.169.254 and fd20:ce::254; Azure 168.63.129.16; Alibaba 100.100.100.200; Oracle 169.254.169.254 and 192.0.0.192

An IPv6 address that holds an IPv4 one is forbidden whatever it holds: no registry is at one, and a gateway on the way may unpack it. What
cannot be known is a translation prefix of the network's own (RFC 6052, section 2.2).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket

_PRIVATE = "an address of a private network"
_LOOPBACK = "an address of this server itself"
_SHARED = "an address of a provider's own network"
_BENCHMARK = "an address for measurements"
_LINK_LOCAL = "an address of the local link, where clouds keep a machine's own credentials"
_METADATA = "an address at which a cloud tells a machine its own credentials"
_RESERVED = "a reserved address"
_MULTICAST = "an address of a group"
_DOCUMENTATION = "an address for documentation"
_EMBEDDING = "an IPv6 address that holds an IPv4 one"

# What an operator can allow a name to lead to, by naming the registry.
_OF_A_NETWORK = {
    "10.0.0.0/8": _PRIVATE,  # RFC 1918
    "172.16.0.0/12": _PRIVATE,
    "192.168.0.0/16": _PRIVATE,
    "127.0.0.0/8": _LOOPBACK,  # RFC 1122, section 3.2.1.3
    "100.64.0.0/10": _SHARED,  # RFC 6598
    "198.18.0.0/15": _BENCHMARK,  # RFC 2544
    "::1/128": _LOOPBACK,  # RFC 4291
    "fc00::/7": _PRIVATE,  # RFC 4193
}

# What no name may lead to.
_NEVER = {
    "100.100.100.200/32": _METADATA,
    "168.63.129.16/32": _METADATA,
    "192.0.0.192/32": _METADATA,
    "fd00:ec2::/32": _METADATA,
    "fd20:ce::/32": _METADATA,
    "169.254.0.0/16": _LINK_LOCAL,  # RFC 3927
    "0.0.0.0/8": _RESERVED,  # RFC 791, section 3.2: this network; a connection to 0.0.0.0 is one to this machine
    "192.0.0.0/24": _RESERVED,  # RFC 6890
    "192.31.196.0/24": _RESERVED,  # RFC 7535, AS112
    "192.52.193.0/24": _RESERVED,  # RFC 7450, AMT
    "192.88.99.0/24": _RESERVED,  # RFC 7526, the former 6to4 relays
    "192.175.48.0/24": _RESERVED,  # RFC 7534, AS112
    "192.0.2.0/24": _DOCUMENTATION,  # RFC 5737
    "198.51.100.0/24": _DOCUMENTATION,
    "203.0.113.0/24": _DOCUMENTATION,
    "224.0.0.0/4": _MULTICAST,  # RFC 5771
    "240.0.0.0/4": _RESERVED,  # RFC 1112, section 4; with 255.255.255.255
    "::ffff:0:0/96": _EMBEDDING,  # RFC 4291, mapped
    "::ffff:0:0:0/96": _EMBEDDING,  # RFC 2765, translated
    "::/96": _EMBEDDING,  # RFC 4291, compatible; with ::
    "64:ff9b::/96": _EMBEDDING,  # RFC 6052
    "64:ff9b:1::/48": _EMBEDDING,  # RFC 8215
    "2002::/16": _EMBEDDING,  # RFC 3056, 6to4
    "2001::/32": _EMBEDDING,  # RFC 4380, Teredo
    "2001:db8::/32": _DOCUMENTATION,  # RFC 3849
    "3fff::/20": _DOCUMENTATION,  # RFC 9637
    "2001::/23": _RESERVED,  # RFC 2928: protocols, benchmarking (2001:2::/48), ORCHID (2001:10::/28, 2001:20::/28), drones
    "2620:4f:8000::/48": _RESERVED,  # RFC 7534, AS112
    "fe80::/10": _LINK_LOCAL,  # RFC 4291
    "fec0::/10": _RESERVED,  # RFC 3879, the former site-local ones
    "ff00::/8": _MULTICAST,  # RFC 4291
}

_ALWAYS = [(ip_network(network), why) for network, why in _NEVER.items()]
_UNLESS_ALLOWED = [(ip_network(network), why) for network, why in _OF_A_NETWORK.items()]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_DISCARD = 9
_ISATAP = (0x00005EFE, 0x02005EFE)
"""The first half of an interface id that holds an IPv4 address (RFC 5214, section 6.1)."""


def why_forbidden(address: str, *, allowed: bool = False) -> str | None:
    """What is wrong with connecting to this IP address, as the end of "it leads to …"; None where it is of the public internet.

    `allowed` is for a registry that the operator named: it may be in a private network or on this machine, and still at no address that
    only a cloud's own machinery has, and at none that is no machine's.
    """
    try:
        parsed = ip_address(address.replace("%", " "))  # one with a zone is of one link only
    except ValueError:
        return "no address"
    # ::1 is in ::/96, too: what can be allowed is looked at first, but for the metadata addresses of a private network.
    never = _among(parsed, _ALWAYS)
    if never == _METADATA:
        return never
    of_a_network = _among(parsed, _UNLESS_ALLOWED)
    if of_a_network is not None:
        return None if allowed else of_a_network
    if never is not None:
        return never
    if isinstance(parsed, IPv6Address):
        if parsed not in _GLOBAL_UNICAST:
            return _RESERVED
        if int(parsed) >> 32 & 0xFFFFFFFF in _ISATAP:
            return _EMBEDDING
    return None if allowed or not _is_ours(parsed) else _LOOPBACK


def _is_ours(address: IPv4Address | IPv6Address) -> bool:
    """Whether this machine has the address: it may be public, and what listens there may be for nobody outside.

    A datagram socket is told where it would send, and tells from which address: to oneself, from the same one. Nothing is sent.
    """
    with socket(AF_INET6 if isinstance(address, IPv6Address) else AF_INET, SOCK_DGRAM) as asked:
        try:
            asked.connect((str(address), _DISCARD))
            return ip_address(asked.getsockname()[0]) == address
        except OSError:  # there is no way to it
            return False


def _among(address: IPv4Address | IPv6Address, networks: list[tuple[IPv4Network | IPv6Network, str]]) -> str | None:
    return next((why for network, why in networks if address in network), None)
