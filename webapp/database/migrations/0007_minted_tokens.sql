-- Tokens that are minted, expiry, and what became of pulls: at the credential and at the image.

-- The third method. SQLite cannot change a CHECK, so the column is made anew.
ALTER TABLE registry_credentials RENAME COLUMN auth_method TO former_auth_method;

ALTER TABLE registry_credentials ADD COLUMN auth_method TEXT NOT NULL DEFAULT 'password'
    CHECK (auth_method IN ('password', 'gcp_service_account_key', 'aws_ecr'));

UPDATE registry_credentials SET auth_method = former_auth_method;

ALTER TABLE registry_credentials DROP COLUMN former_auth_method;

-- parameters: what the method needs beside the secret (credentials/parameters.py), sealed to as the host is; empty for none.
-- expires_at: when the value stops to work; expiry_source: 'value' where it was read from the value, 'typed' where a member said so.
ALTER TABLE registry_credentials ADD COLUMN parameters TEXT NOT NULL DEFAULT '';
ALTER TABLE registry_credentials ADD COLUMN expires_at BIGINT;
ALTER TABLE registry_credentials ADD COLUMN expiry_source TEXT NOT NULL DEFAULT '';

-- expires_at once more, for the list: those that do not expire come last, and a row has a place among the others also then.
ALTER TABLE registry_credentials ADD COLUMN expiry_rank BIGINT NOT NULL DEFAULT 999999999999999;

CREATE INDEX registry_credentials_by_expiry ON registry_credentials (account_id, expiry_rank, name_key, id);

ALTER TABLE registry_credential_versions ADD COLUMN parameters TEXT NOT NULL DEFAULT '';
ALTER TABLE registry_credential_versions ADD COLUMN expires_at BIGINT;
ALTER TABLE registry_credential_versions ADD COLUMN expiry_source TEXT NOT NULL DEFAULT '';

-- The token that was minted last with a credential's value of this version: one a credential, with the credential's id. The columns
-- say what it was minted from; it is sealed to them and to its times, so that none is moved or prolonged.
CREATE TABLE minted_tokens (
    id TEXT PRIMARY KEY REFERENCES registry_credentials (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    secret_version INTEGER NOT NULL,
    host TEXT NOT NULL,
    auth_method TEXT NOT NULL,
    parameters TEXT NOT NULL,
    sealed BYTES NOT NULL,
    kek_id INTEGER NOT NULL REFERENCES keyring (id),
    minted_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX minted_tokens_kek ON minted_tokens (kek_id);

-- What agents report of pulls, by the kinds of registry/kinds.py. Times are the hand-overs'; last_failed_agent is the agent's name.
ALTER TABLE provision_results ADD COLUMN kind TEXT;

ALTER TABLE agent_activity ADD COLUMN last_failure_kind TEXT;

ALTER TABLE registry_credential_activity ADD COLUMN last_pulled_at BIGINT;
ALTER TABLE registry_credential_activity ADD COLUMN last_failed_at BIGINT;
ALTER TABLE registry_credential_activity ADD COLUMN last_failure_kind TEXT;
ALTER TABLE registry_credential_activity ADD COLUMN last_failed_agent TEXT;

-- The same for an image, and what its last check found. An official image has a row in each account that has used it.
CREATE TABLE image_activity (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    last_pulled_at BIGINT,
    last_failed_at BIGINT,
    last_failure_kind TEXT,
    last_failed_agent TEXT,
    checked_at BIGINT,
    checked_reference TEXT,
    check_kind TEXT,
    check_sentence TEXT,
    check_digest TEXT,
    PRIMARY KEY (account_id, image_id)
);

CREATE INDEX image_activity_image ON image_activity (image_id);

-- Whether the hand-over pins the digest that a check has found, and which one that is.
ALTER TABLE images ADD COLUMN pin_digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN pinned_digest TEXT;
