"""What members do to registry credentials, secrets and variables, as rules of the machine."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.battery.kept_open import loop
from tests.battery.machine import Machine, there_are
from tests.battery.model import Credential, Record, taken
from webapp.credentials.credential import AuthMethod, CredentialFields
from webapp.names import Name, parse_name
from webapp.secrets.named_value import ValueFields, parse_value_name
from webapp.secrets.repository import NamedValueRepository
from webapp.vault import Secret

WHICH = st.integers(0, 14)
EDITED = st.sampled_from([0, 0, 0, 0, None, None, -1, 1])
"""How far the version that somebody edited is from the stored one; None for a caller that has none."""
NAMES = st.sampled_from(["alpha", "Alpha", "beta", "Straße", "STRASSE", "gamma"]).map(parse_name)
VALUE_NAMES = st.sampled_from(["TOKEN", "DB", "db", "stage"]).map(parse_value_name)
HOSTS = st.sampled_from(["ghcr.io", "ghcr.io", "docker.io", "index.docker.io", "localhost:5000"])
METHODS = st.sampled_from(["password", "password", "gcp_service_account_key"])
STORES = st.sampled_from(["secrets", "variables"])


def edited(version: int, offset: int | None) -> int | None:
    """The version that somebody edited."""
    return None if offset is None else version + offset


class CredentialRules(Machine):
    """Registry credentials."""

    @rule(name=NAMES, host=HOSTS, method=METHODS)
    def add_credential(self, name: Name, host: str, method: str) -> None:
        new, now = self._credential(name, host, method, self.value()), self.clock()
        expected = "Invalid name" if taken(self.model.credentials, new.key) else ""
        added = self.run(self.store.credentials.add(self.actor, fields_of(new), Secret(new.value.encode())), expected, "add credential")
        if added is not None:
            new.replaced_at = now
            self.model.credentials[added[0].id] = new
            self.ids["registry_credentials"].append(added[0].id)

    @precondition(there_are("registry_credentials"))
    @rule(which=WHICH, name=NAMES, host=HOSTS, method=METHODS, replaced=st.booleans(), offset=EDITED)
    def save_credential(self, which: int, name: Name, host: str, method: str, replaced: bool, offset: int | None) -> None:
        self._save(self.pick("registry_credentials", which), name, host, method, replaced, offset)

    @precondition(there_are("registry_credentials"))
    @rule(which=WHICH, name=NAMES)
    def rename_credential(self, which: int, name: Name) -> None:
        key = self.pick("registry_credentials", which)
        stored = self.model.credentials.get(key)
        if stored is not None:
            self._save(key, name, stored.host, stored.method, False, 0)

    @precondition(there_are("registry_credentials"))
    @rule(which=WHICH)
    def replace_credential(self, which: int) -> None:
        key = self.pick("registry_credentials", which)
        stored = self.model.credentials.get(key)
        if stored is not None:
            self._save(key, Name(stored.name, stored.key), stored.host, stored.method, True, None)

    @precondition(there_are("registry_credentials"))
    @rule(which=WHICH, back=st.integers(1, 3))
    def roll_back(self, which: int, back: int) -> None:
        key = self.pick("registry_credentials", which)
        stored = self.model.credentials.get(key)
        number = (stored.newest if stored else 1) - back
        now, expected = self.clock(), self.model.roll_back(key, number, self.clock())
        self.run(self.store.credentials.roll_back(self.actor, key, number, None), expected, "roll back")
        if not expected and stored is not None:
            was = stored.kept.pop(number)
            self.model.rows += stored.keep(now)
            stored.host, stored.method, stored.username, stored.value = was.host, was.method, was.username, was.value
            stored.secret_version, stored.replaced_at, stored.updated_by = number, now, self.actor.label
            stored.version += 1

    @precondition(there_are("registry_credentials"))
    @rule(which=WHICH)
    def delete_credential(self, which: int) -> None:
        key = self.pick("registry_credentials", which)
        self.run(self.store.credentials.deletion.delete(self.actor, key), self.model.delete_credential(key), "delete credential")

    @precondition(there_are("registry_credentials"))
    @rule(which=WHICH, other=WHICH)
    def replace_and_delete_credential(self, which: int, other: int) -> None:
        key, replacement = self.pick("registry_credentials", which), self.pick("registry_credentials", other)
        expected, moved = self.model.replace_and_delete_credential(key, replacement, self.actor.label)
        self.run(self.store.credentials.deletion.delete(self.actor, key, replacement), expected, "replace and delete credential")
        self.model.rows += moved

    def _save(self, key: str, name: Name, host: str, method: str, replaced: bool, offset: int | None) -> None:
        stored = self.model.credentials.get(key)
        version = edited(stored.version if stored else 1, offset)
        new = self._credential(name, host, method, self.value())
        expected = self.model.save_credential(key, new, new.value if replaced else None, version)
        now, secret = self.clock(), Secret(new.value.encode()) if replaced else None
        self.run(self.store.credentials.save(self.actor, key, fields_of(new), secret, version), expected, "save credential")
        if not expected and stored is not None:
            new.version = stored.version + 1
            if replaced:
                self.model.rows += stored.keep(now)
            new.newest = stored.newest + replaced
            new.secret_version = new.newest if replaced else stored.secret_version
            new.kept = stored.kept
            new.replaced_at = now if replaced else stored.replaced_at
            new.value = new.value if replaced else stored.value
            self.model.credentials[key] = new

    def _credential(self, name: Name, host: str, method: str, value: str) -> Credential:
        return Credential(
            name.text, name.key, updated_by=self.actor.label, value=value, host=host, method=method, username=f"bot-{len(value)}"
        )


def fields_of(new: Credential) -> CredentialFields:
    """What a member would have typed."""
    return CredentialFields(new.name, new.key, "", new.host, AuthMethod(new.method), new.username)


class ValueRules(Machine):
    """Secrets and variables, and their imports."""

    @rule(store=STORES, name=VALUE_NAMES)
    def add_value(self, store: str, name: Name) -> None:
        self._add_value(store, name)

    @precondition(lambda self: any(self.model.values.values()))
    @rule(store=STORES, which=WHICH, name=VALUE_NAMES, replaced=st.booleans(), offset=EDITED)
    def save_value(self, store: str, which: int, name: Name, replaced: bool, offset: int | None) -> None:
        key = self.pick(store, which)
        stored = self.model.values[store].get(key)
        version = edited(stored.version if stored else 1, offset)
        expected, now, text = self.model.save_value(store, key, name.text, name.key, version), self.clock(), self.value()
        value, fields = Secret(text.encode()) if replaced else None, ValueFields(name.text, name.key, "")
        self.run(self._values(store).save(self.actor, key, fields, value, version), expected, f"save {store}")
        if not expected and stored is not None:
            stored.name, stored.key, stored.version = name.text, name.key, stored.version + 1
            stored.value, stored.replaced_at = (text, now) if replaced else (stored.value, stored.replaced_at)

    @precondition(lambda self: any(self.model.values.values()))
    @rule(store=STORES, which=WHICH)
    def delete_value(self, store: str, which: int) -> None:
        key = self.pick(store, which)
        self.run(self._values(store).delete(self.actor, key), self.model.delete_value(store, key), f"delete {store}")

    @rule(store=STORES, names=st.lists(VALUE_NAMES, min_size=1, max_size=3, unique_by=lambda name: name.key), meanwhile=st.booleans())
    def import_values(self, store: str, names: list[Name], meanwhile: bool) -> None:
        repository, texts = self._values(store), [self.value() for _ in names]
        content = Secret("".join(f"{name.text}={text}\n" for name, text in zip(names, texts, strict=True)).encode())
        preview = loop().run(self.store.imports.begin(self.actor, repository, content))
        absent = next((name for name in names if self._with_key(store, name.key) is None), None)
        expected = ""
        if meanwhile and absent is not None:
            self._add_value(store, absent)
            expected = "Conflict import-stale"
        now = self.clock()
        stored = self.run(self.store.imports.commit(self.actor, repository, preview.id), expected, f"import {store}")
        if stored is None:
            return
        assert stored == len(names)
        self.model.rows += len(names) - 1
        for name, text in zip(names, texts, strict=True):
            record = self._with_key(store, name.key)
            if record is None:
                self._keep(store, name, text, now)
            else:
                record.version, record.value, record.replaced_at = record.version + 1, text, now
        assert loop().run(self.store.imports.commit(self.actor, repository, preview.id)) == 0, "a second time changes nothing"

    def _add_value(self, store: str, name: Name) -> None:
        expected = "" if self._with_key(store, name.key) is None else "Invalid name"
        text, now = self.value(), self.clock()
        work = self._values(store).add(self.actor, ValueFields(name.text, name.key, ""), Secret(text.encode()))
        if self.run(work, expected, f"add {store}") is not None:
            self._keep(store, name, text, now)

    def _keep(self, store: str, name: Name, text: str, now: int) -> None:
        key = next(r.id for r in loop().run(self._values(store).page(self.actor)).records if r.name == name.text)
        self.model.values[store][key] = Record(name.text, name.key, 1, self.actor.label, now, text)
        self.ids[store].append(key)

    def _with_key(self, store: str, key: str) -> Record | None:
        return next((record for record in self.model.values[store].values() if record.key == key), None)

    def _values(self, store: str) -> NamedValueRepository:
        return self.store.secrets if store == "secrets" else self.store.variables
