"""Hosts of Amazon ECR, and the region that each one names.

The forms are those of https://docs.aws.amazon.com/general/latest/gr/ecr.html and of the dual-stack addresses beside it:

    ACCOUNT.dkr.ecr.REGION.amazonaws.com     ACCOUNT.dkr.ecr-fips.REGION.amazonaws.com     (.cn after either, in China)
    ACCOUNT.dkr-ecr.REGION.on.aws            ACCOUNT.dkr-ecr-fips.REGION.on.aws
"""

import re

PUBLIC = "public.ecr.aws"
"""The host of Amazon's public images, which need no credential."""

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,2}-[0-9]{1,2}")
_HOST = re.compile(
    r"[0-9]{12}\.(?:dkr\.ecr(?:-fips)?\.(?P<classic>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?|dkr-ecr(?:-fips)?\.(?P<dual>[a-z0-9-]+)\.on\.aws)"
)


def is_region(text: str) -> bool:
    """Whether this is written as AWS writes its regions, such as `eu-central-1` or `us-gov-west-1`; which there are is not known here."""
    return len(text) <= 32 and _REGION.fullmatch(text) is not None


def looks_like_ecr(host: str) -> str | None:
    """The region of a bare host of Amazon ECR, such as `123456789012.dkr.ecr.eu-central-1.amazonaws.com`; None for another host."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    region = found["classic"] or found["dual"]
    return region if is_region(region) else None
