"""The authorisation matrix: what every route answers to everybody, one line a route.

A line is the method, the address, and one letter a caller, in three groups:

    cookies:      nobody, viewer, editor, admin, and the admin of another account
    agents:       an agent, a revoked agent, a bootstrap token, an expired bootstrap token
    API tokens:   a viewer's, an editor's, an admin's, of another account's admin, an expired one, a revoked one

    o  allowed: 2xx, or led on (3xx) to anything but the sign-in page
    c  the endpoint's own no (400, 409, 412, 413, 422): it was asked, and the caller may ask it
    s  allowed, and signed out: led to the sign-in page, and the session's cookie taken back
    l  led to the sign-in page         u  401, with WWW-Authenticate
    f  403                             n  404

What a letter of `lufn` stands for changes nothing in the database either. A GET's line is its HEAD's as well, where it has one.

To add a route: write its line. `{agent}` in an address is the id of a record of alice's account that `tests/web/records.py` makes, a
fresh one for every request that may change it; a new kind of record is one function there. What a POST has to hold to be allowed is in
`BODIES`, under the line's method and address (without its query); without an entry it is an empty form. A line without a route, or a
route without a line, fails `test_matrix.py`, and so does any answer that is not as its letter says.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

CALLERS = (
    *("nobody", "viewer", "editor", "admin", "other account's admin"),
    *("agent", "revoked agent", "bootstrap token", "expired bootstrap token"),
    *("viewer's API token", "editor's API token", "admin's API token"),
    *("API token of another account's admin", "expired API token", "revoked API token"),
)

TABLE = """
GET   /api/v1/provision                                        uuuuu ouuu uuuuuu
POST  /api/v1/provision/result                                 uuuuu ouuu uuuuuu
POST  /api/v1/enroll                                           uuuuu uuou uuuuuu
GET   /api/v1/me                                               uuuuu uuuu oooouu
GET   /api/v1/agents                                           uuuuu uuuu oooouu
GET   /api/v1/images                                           uuuuu uuuu oooouu
GET   /api/v1/secrets                                          uuuuu uuuu oooouu
PUT   /api/v1/secrets/{secret}/value                           uuuuu uuuu foonuu
GET   /api/v1/variables                                        uuuuu uuuu oooouu
PUT   /api/v1/variables/{variable}/value                       uuuuu uuuu foonuu
GET   /api/v1/registry-credentials                             uuuuu uuuu oooouu
POST  /api/v1/registry-credentials                             uuuuu uuuu fooouu
GET   /api/v1/registry-credentials/{credential}                uuuuu uuuu ooonuu
PUT   /api/v1/registry-credentials/{credential}                uuuuu uuuu foonuu
PUT   /api/v1/registry-credentials/{credential}/value          uuuuu uuuu foonuu
DELETE /api/v1/registry-credentials/{credential}               uuuuu uuuu foonuu
GET   /livez                                                   ooooo oooo oooooo
GET   /readyz                                                  ooooo oooo oooooo
GET   /setup                                                   nnnnn nnnn nnnnnn
POST  /setup                                                   nnnnn nnnn nnnnnn
GET   /login                                                   ooooo oooo oooooo
POST  /login                                                   ccccc cccc cccccc
POST  /logout                                                  sssss ssss ssssss
GET   /                                                        loooo llll llllll
GET   /settings                                                loooo llll llllll
POST  /settings                                                lffoo llll llllll
GET   /settings/encryption                                     lffoo llll llllll
GET   /settings/api-tokens                                     loooo llll llllll
POST  /settings/api-tokens                                     loooo llll llllll
GET   /settings/api-tokens/new                                 loooo llll llllll
GET   /settings/api-tokens/{api_token}/revoke                  lnnon llll llllll  # one's own, and for an admin everybody's
POST  /settings/api-tokens/{api_token}/revoke                  lnnon llll llllll  # the same
GET   /join                                                    nnnnn nnnn nnnnnn
POST  /join                                                    nnnnn nnnn nnnnnn
GET   /settings/password                                       loooo llll llllll
POST  /settings/password                                       lcccc llll llllll
GET   /settings/members                                        loooo llll llllll
GET   /settings/members/invitations/new                        lffoo llll llllll
POST  /settings/members/invitations                            lffoo llll llllll
GET   /settings/members/invitations/{invitation}/revoke        lffon llll llllll
POST  /settings/members/invitations/{invitation}/revoke        lffon llll llllll
GET   /settings/members/leave                                  loooo llll llllll
GET   /settings/members/{member}/role                          lffon llll llllll
POST  /settings/members/{member}/role                          lffon llll llllll
GET   /settings/members/{member}/remove                        lffon llll llllll
POST  /settings/members/{member}/remove                        lffon llll llllll
POST  /login/passkey                                           ccccc cccc cccccc
POST  /login/passkey/options                                   ccccc cccc cccccc  # an IP address has no passkeys
GET   /settings/sign-in                                        loooo llll llllll
GET   /settings/sign-in/passkeys/new                           lcccc llll llllll  # the same
POST  /settings/sign-in/passkeys                               lcccc llll llllll
POST  /settings/sign-in/passkeys/options                       lcccc llll llllll  # the same
POST  /settings/sign-in/confirm                                lcccc llll llllll
POST  /settings/sign-in/confirm/options                        lcccc llll llllll
GET   /settings/sign-in/passkeys/{passkey}/remove              lnnon llll llllll  # alice's
POST  /settings/sign-in/passkeys/{passkey}/remove              lnnon llll llllll  # alice's
GET   /settings/sign-in/passkeys/{passkey}/rename              lnnon llll llllll  # alice's
POST  /settings/sign-in/passkeys/{passkey}/rename              lnnon llll llllll  # alice's
GET   /login/oidc                                              nnnnn nnnn nnnnnn  # no issuer is set here; test_oidc.py has one
GET   /login/oidc/callback                                     nnnnn nnnn nnnnnn  # the same
GET   /login/oidc/refused                                      nnnnn nnnn nnnnnn  # the same
GET   /settings/sign-in/confirm/oidc                           lnnnn llll llllll  # the same
GET   /settings/sign-in/link/oidc                              lnnnn llll llllll  # the same
GET   /settings/sign-in/identities/{identity}/unlink           lnnon llll llllll  # alice's
POST  /settings/sign-in/identities/{identity}/unlink           lnnon llll llllll  # alice's
GET   /settings/sessions                                       loooo llll llllll
GET   /settings/sessions/end-others                            loooo llll llllll
POST  /settings/sessions/end-others                            loooo llll llllll
GET   /settings/sessions/{session}/end                         lnnon llll llllll  # alice's
POST  /settings/sessions/{session}/end                         lnnon llll llllll  # alice's
GET   /registry-credentials                                    loooo llll llllll
POST  /registry-credentials                                    lfooo llll llllll
GET   /registry-credentials/new                                lfooo llll llllll
POST  /registry-credentials/preset                             lfooo llll llllll
POST  /registry-credentials/test                               lfccc llll llllll
GET   /registry-credentials/auth-fields                        lfooo llll llllll
POST  /registry-credentials/key-upload                         lfccc llll llllll
GET   /registry-credentials/{credential}                       looon llll llllll
POST  /registry-credentials/{credential}                       lfoon llll llllll
POST  /registry-credentials/{credential}/versions/{version}/roll-back lfoon llll llllll
GET   /registry-credentials/{credential}/versions/{version}/destroy lfoon llll llllll
POST  /registry-credentials/{credential}/versions/{version}/destroy lfoon llll llllll
POST  /registry-credentials/{credential}/test                  lfccn llll llllll
GET   /registry-credentials/{credential}/delete                lfoon llll llllll
POST  /registry-credentials/{credential}/delete                lfoon llll llllll
GET   /secrets                                                 loooo llll llllll
POST  /secrets                                                 lfooo llll llllll
GET   /secrets/new                                             lfooo llll llllll
GET   /secrets/import                                          lfooo llll llllll
POST  /secrets/import                                          lfooo llll llllll
POST  /secrets/import/{secrets_import}                         lfnnn llll llllll  # a preview is the session's that asked for it
GET   /secrets/{secret}                                        looon llll llllll
POST  /secrets/{secret}                                        lfoon llll llllll
GET   /secrets/{secret}/delete                                 lfoon llll llllll
POST  /secrets/{secret}/delete                                 lfoon llll llllll
GET   /variables                                               loooo llll llllll
POST  /variables                                               lfooo llll llllll
GET   /variables/new                                           lfooo llll llllll
GET   /variables/import                                        lfooo llll llllll
POST  /variables/import                                        lfooo llll llllll
POST  /variables/import/{variables_import}                     lfnnn llll llllll  # a preview is the session's that asked for it
GET   /variables/{variable}                                    looon llll llllll
POST  /variables/{variable}                                    lfoon llll llllll
GET   /variables/{variable}/delete                             lfoon llll llllll
POST  /variables/{variable}/delete                             lfoon llll llllll
GET   /images                                                  loooo llll llllll
POST  /images                                                  lfooo llll llllll
GET   /images/new                                              lfooo llll llllll
GET   /images/credential-options?docker_image_url=debian:12    lfooo llll llllll
POST  /images/user-data-preview                                lfooo llll llllll
GET   /images/{image}                                          looon llll llllll
POST  /images/{image}                                          lfoon llll llllll
GET   /images/{image}/delete                                   lfoon llll llllll
POST  /images/{image}/delete                                   lfoon llll llllll
POST  /images/{image}/check                                    lfoon llll llllll
GET   /agents                                                  loooo llll llllll
GET   /agents/bootstrap-tokens/new                             lfooo llll llllll
POST  /agents/bootstrap-tokens                                 lfooo llll llllll
GET   /agents/bootstrap-tokens/{bootstrap_token}/revoke        lfoon llll llllll
POST  /agents/bootstrap-tokens/{bootstrap_token}/revoke        lfoon llll llllll
GET   /agents/{agent}                                          looon llll llllll
POST  /agents/{agent}                                          lfoon llll llllll
GET   /agents/{agent}/revoke                                   lfoon llll llllll
POST  /agents/{agent}/revoke                                   lfoon llll llllll
GET   /agents/{agent}/allow-reenrolment                        lfoon llll llllll
POST  /agents/{agent}/allow-reenrolment                        lfoon llll llllll
GET   /audit                                                   loooo llll llllll
GET   /audit.csv                                               loooo llll llllll
GET   /audit.jsonl                                             loooo llll llllll
POST  /settings/members/leave                                  lsscc llll llllll  # not the last admin; the last line: who may has left
"""

BODIES: dict[str, dict[str, str]] = {
    "POST /settings": {"account_name": "Renamed"},
    "POST /settings/sign-in/passkeys/{passkey}/rename": {"name": "n-{number}"},
    "POST /settings/members/invitations": {"email": "n-{number}@example.com", "role": "editor"},
    "POST /settings/members/{member}/role": {"role": "viewer", "version": "1"},
    "POST /settings/api-tokens": {"name": "n-{number}", "role": "viewer", "lifetime": "30d"},
    "POST /registry-credentials": {
        "name": "n-{number}", "registry_url": "ghcr.io", "auth_method": "password", "username": "bot", "password": "hunter2-but-long",
    },
    "POST /registry-credentials/preset": {"preset": "ghcr"},
    "POST /registry-credentials/{credential}": {
        "name": "n-{number}", "registry_url": "ghcr.io", "auth_method": "password", "username": "bot", "version": "2",
    },
    "POST /registry-credentials/{credential}/versions/{version}/roll-back": {"version": "2"},
    "POST /secrets": {"name": "N_{number}", "value": "a value"},
    "POST /secrets/import": {"env": "N_{number}=a value"},
    "POST /secrets/{secret}": {"name": "N_{number}", "version": "1"},
    "POST /variables": {"name": "N_{number}", "value": "a value"},
    "POST /variables/import": {"env": "N_{number}=a value"},
    "POST /variables/{variable}": {"name": "N_{number}", "value": "a value", "version": "1"},
    "POST /images": {"name": "n-{number}", "docker_image_url": "debian:12"},
    "POST /images/user-data-preview": {"user_data": "hello"},
    "POST /images/{image}": {"name": "n-{number}", "docker_image_url": "debian:12", "version": "1"},
    "POST /agents/bootstrap-tokens": {"lifetime": "10m"},
    "POST /agents/{agent}": {"image_id": "{image}", "version": "1"},
}  # fmt: skip
"""The form of a POST, by its line. `{number}` is another one each time; a record's name is its id."""

JSON_BODIES: dict[str, dict[str, str | int]] = {
    "PUT /api/v1/secrets/{secret}/value": {"value": "another value"},
    "PUT /api/v1/variables/{variable}/value": {"value": "another value"},
    "POST /api/v1/registry-credentials": {
        "name": "n-{number}",
        "registry_url": "ghcr.io",
        "username": "bot",
        "password": "hunter2-but-long",
    },
    "PUT /api/v1/registry-credentials/{credential}": {"name": "n-{number}", "registry_url": "ghcr.io", "username": "bot", "version": 2},
    "PUT /api/v1/registry-credentials/{credential}/value": {"password": "hunter4-but-long"},
    "POST /api/v1/enroll": {"name": "n-{number}"},
    "POST /api/v1/provision/result": {"provision_id": "{provision}", "outcome": "pulled"},
}
"""The same for what takes JSON."""


@dataclass(frozen=True)
class Line:
    """One line of the table: `expected` is a letter a caller."""

    method: str
    address: str
    expected: str

    @property
    def path(self) -> str:
        """The address without its query."""
        return self.address.partition("?")[0]

    @property
    def key(self) -> str:
        """The method and the path, with the names of the records in it."""
        return f"{self.method} {self.path}"

    @property
    def route(self) -> str:
        """The method and the path, whatever its parameters are called."""
        return f"{self.method} {nameless(self.path)}"

    @property
    def records(self) -> Sequence[str]:
        """The names of the records in the address."""
        return re.findall(r"{(\w+)}", self.address)

    @property
    def may_change(self) -> bool:
        """Whether what is allowed may change something."""
        return self.method not in {"GET", "HEAD"}


def lines(table: str = TABLE) -> list[Line]:
    """The table, parsed. Raises ValueError for a line without a letter for each caller."""
    found = []
    for text in filter(None, map(str.strip, table.splitlines())):
        method, address, *letters = text.partition("  #")[0].split()
        if [len(group) for group in letters] != [5, 4, 6] or set("".join(letters)) - set("ocslufn"):
            raise ValueError(f"this line has not one of the letters for each of {len(CALLERS)} callers: {text}")
        found.append(Line(method, address, "".join(letters)))
    return found


def nameless(path: str) -> str:
    """A path with its parameters' names taken out."""
    return re.sub(r"{[^}]*}", "{}", path)
