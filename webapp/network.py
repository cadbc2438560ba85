"""Whom an IP address stands for, where callers are counted by it."""

from ipaddress import IPv6Address, ip_address


def network_of(address: str | None) -> str:
    """Whom an address stands for: itself, or the /64 that one subscriber has of IPv6 (RFC 6177)."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or "?"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped) if parsed.ipv4_mapped is not None else str(IPv6Address(int(parsed) >> 64 << 64))
