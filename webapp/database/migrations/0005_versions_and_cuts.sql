-- What was replaced and is kept for a while; which chain the audit log goes on with; where its chains begin after a cut; how much a key is used.

-- A value that was replaced, sealed as it was: its place names its credential and its version. It is destroyed at kept_until.
CREATE TABLE registry_credential_versions (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    registry_credential_id TEXT NOT NULL REFERENCES registry_credentials (id) ON DELETE CASCADE,
    secret_version INTEGER NOT NULL,
    host TEXT NOT NULL,
    auth_method TEXT NOT NULL,
    username TEXT NOT NULL,
    sealed BYTES NOT NULL,
    kek_id INTEGER NOT NULL REFERENCES keyring (id),
    stored_at BIGINT NOT NULL,
    stored_by TEXT NOT NULL,
    kept_until BIGINT NOT NULL
);

CREATE INDEX registry_credential_versions_of ON registry_credential_versions (registry_credential_id, secret_version);

CREATE INDEX registry_credential_versions_until ON registry_credential_versions (kept_until);

CREATE INDEX registry_credential_versions_kek ON registry_credential_versions (kek_id);

-- No number is given to two values, also when an older one is current again.
ALTER TABLE registry_credentials ADD COLUMN newest_secret_version INTEGER NOT NULL DEFAULT 0;

UPDATE registry_credentials SET newest_secret_version = secret_version;

-- The chain that events are appended to; NULL for the first one, which is named after the installation.
ALTER TABLE installation ADD COLUMN audit_chain TEXT;

-- What stands before the first row of a chain whose older rows were removed, signed with the key that signs heads.
CREATE TABLE audit_cuts (
    chain TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    mac BYTES NOT NULL,
    at BIGINT NOT NULL,
    signature BYTES NOT NULL
);

-- How many data keys a KEK has wrapped, for the suggestion to rotate: counted in memory, and added a while later.
ALTER TABLE keyring ADD COLUMN wraps BIGINT NOT NULL DEFAULT 0;

-- Where the chains of a backup end that was restored, signed as well, under the chain that goes on after it.
CREATE TABLE audit_restores (
    chain TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    ends TEXT NOT NULL,
    signature BYTES NOT NULL
);
