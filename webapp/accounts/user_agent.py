"""A browser in words, from what it says of itself (RFC 9110, section 10.1.5): unverified, and only to tell sessions apart."""

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Headless Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
)
"""What they put into their words, in the order that tells them apart: most say that they are Chrome or Safari as well."""

SYSTEMS = (
    ("Windows NT", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)

LONGEST = 60
"""Characters of what is not known, of which the beginning is shown as it is."""


def browser_in_words(user_agent: str) -> str:
    """Such as `Firefox on Linux`; what is not known as it is, cut, and words for one that says nothing."""
    said = user_agent.strip()
    if not said:
        return "A browser that does not say which"
    browser = _first(BROWSERS, said) or ("Safari" if "Version/" in said and "Safari/" in said else "")
    if not browser:
        return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
    system = _first(SYSTEMS, said)
    return f"{browser} on {system}" if system else browser


def _first(known: tuple[tuple[str, str], ...], said: str) -> str:
    return next((words for mark, words in known if mark in said), "")
