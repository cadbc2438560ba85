-- Secrets, variables, and the user data that they go into.

CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    name_key KEYTEXT NOT NULL,
    description TEXT NOT NULL,
    sealed BYTES NOT NULL,
    kek_id INTEGER NOT NULL REFERENCES keyring (id),
    secret_version INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    replaced_at BIGINT NOT NULL,
    replaced_by TEXT NOT NULL
);

CREATE UNIQUE INDEX secrets_name ON secrets (account_id, name_key);

CREATE INDEX secrets_kek ON secrets (kek_id);

CREATE TABLE variables (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    name_key KEYTEXT NOT NULL,
    description TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    replaced_at BIGINT NOT NULL,
    replaced_by TEXT NOT NULL
);

CREATE UNIQUE INDEX variables_name ON variables (account_id, name_key);

-- An image's template. Which names it refers to stands beside it, so that none of them is deleted or renamed meanwhile.
ALTER TABLE images ADD COLUMN user_data TEXT;

CREATE TABLE image_secrets (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    image_id TEXT NOT NULL REFERENCES images (id),
    secret_id TEXT NOT NULL REFERENCES secrets (id),
    PRIMARY KEY (image_id, secret_id)
);

CREATE INDEX image_secrets_secret ON image_secrets (secret_id);

CREATE TABLE image_variables (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    image_id TEXT NOT NULL REFERENCES images (id),
    variable_id TEXT NOT NULL REFERENCES variables (id),
    PRIMARY KEY (image_id, variable_id)
);

CREATE INDEX image_variables_variable ON image_variables (variable_id);

-- A .env file between its preview and its import: sealed, for the session that sent it, for 10 minutes.
CREATE TABLE env_imports (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    session TEXT NOT NULL,
    kind TEXT NOT NULL,
    sealed BYTES NOT NULL,
    kek_id INTEGER NOT NULL REFERENCES keyring (id),
    expires_at BIGINT NOT NULL
);

CREATE INDEX env_imports_kek ON env_imports (kek_id);
