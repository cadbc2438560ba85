"""Hosts of Amazon ECR, and the region that each one names.

The forms are those of https://docs.aws.amazon.com/general/latest/gr/ecr.html and of the dual-stack addresses beside it:

    ACCOUNT.dkr.ecr.REGION.amazonaws.com     ACCOUNT.dkr.ecr-fips.REGION.amazonaws.com
    ACCOUNT.dkr-ecr.REGION.on.aws            ACCOUNT.dkr-ecr-fips.REGION.on.aws

AWS's partitions each have a domain in place of amazonaws.com (botocore's `partitions.json`, "dnsSuffix").
"""

import re

PUBLIC = "public.ecr.aws"
"""The host of Amazon's public images, which need no credential."""

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,12}){1,2}-[0-9]{1,2}")
_HOST = re.compile(
    r"[0-9]{12}\.(?:dkr\.ecr(?:-fips)?\.(?P<classic>[a-z0-9-]+)\.(?P<domain>[a-z0-9.-]+)|dkr-ecr(?:-fips)?\.(?P<dual>[a-z0-9-]+)\.on\.aws)"
)


_DOMAINS = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}


def domain_of(region: str) -> str:
    """The domain of the partition that a region is in."""
    return next((domain for beginning, domain in _DOMAINS.items() if region.startswith(beginning)), "amazonaws.com")


def is_region(text: str) -> bool:
    """Whether this is written as AWS writes its regions, such as `eu-central-1` or `us-gov-west-1`; which there are is not known here."""
    return len(text) <= 32 and _REGION.fullmatch(text) is not None


def looks_like_ecr(host: str) -> str | None:
    """The region of a bare host of Amazon ECR, such as `123456789012.dkr.ecr.eu-central-1.amazonaws.com`; None for another host."""
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    region = found["classic"] or found["dual"]
    if not is_region(region) or found["domain"] not in (None, domain_of(region)):
        return None
    return region
