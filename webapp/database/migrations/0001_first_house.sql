-- The first house. Portable SQL: `BYTES` and `KEYTEXT` are replaced by the engine's own words
-- (`sqlite.py`). Times are Unix milliseconds, UTC. A statement ends with a semicolon at the end of a line.
-- Every table but installation, keyring and official images is scoped by account_id.

CREATE TABLE installation (
    id TEXT PRIMARY KEY,
    created_at BIGINT NOT NULL
);

CREATE TABLE keyring (
    id INTEGER PRIMARY KEY,
    purpose TEXT NOT NULL,
    state TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    check_value BYTES NOT NULL,
    root_fingerprint TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    default_image_id TEXT,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE members (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    email TEXT NOT NULL,
    email_key KEYTEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('admin', 'editor', 'viewer')),
    password_hash TEXT NOT NULL,
    mac BYTES NOT NULL,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX members_account ON members (account_id);

CREATE TABLE sessions (
    accessor TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    member_id TEXT NOT NULL REFERENCES members (id),
    mac BYTES NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    password_at BIGINT NOT NULL,
    ended_at BIGINT,
    address TEXT,
    user_agent TEXT
);

CREATE INDEX sessions_member ON sessions (account_id, member_id);

CREATE TABLE registry_credentials (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    name_key KEYTEXT NOT NULL,
    description TEXT NOT NULL,
    host TEXT NOT NULL,
    auth_method TEXT NOT NULL CHECK (auth_method IN ('password', 'gcp_service_account_key')),
    username TEXT NOT NULL,
    sealed BYTES NOT NULL,
    kek_id INTEGER NOT NULL REFERENCES keyring (id),
    secret_version INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    replaced_at BIGINT NOT NULL,
    replaced_by TEXT NOT NULL,
    last_used_at BIGINT
);

CREATE UNIQUE INDEX registry_credentials_name ON registry_credentials (account_id, name_key);

CREATE INDEX registry_credentials_kek ON registry_credentials (kek_id);

-- account_id is NULL for an official image, which belongs to every account and is loaded from a file at start.
-- docker_image_url is as it was typed; reference is canonical; host is the reference's.
CREATE TABLE images (
    id TEXT PRIMARY KEY,
    account_id TEXT REFERENCES accounts (id),
    name TEXT NOT NULL,
    name_key KEYTEXT NOT NULL,
    description TEXT NOT NULL,
    docker_image_url TEXT NOT NULL,
    reference TEXT NOT NULL,
    host TEXT NOT NULL,
    registry_credential_id TEXT REFERENCES registry_credentials (id),
    withdrawn_at BIGINT,
    version INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL
);

CREATE UNIQUE INDEX images_name ON images (account_id, name_key);

CREATE INDEX images_credential ON images (registry_credential_id);

CREATE TABLE bootstrap_tokens (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    accessor TEXT NOT NULL UNIQUE,
    mac BYTES NOT NULL,
    description TEXT NOT NULL,
    allow_reenrolment INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE INDEX bootstrap_tokens_account ON bootstrap_tokens (account_id, created_at);

-- reenrol_until: a member pressed "Allow re-enrolment"; one use, cleared by it.
CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    name_key KEYTEXT NOT NULL,
    image_id TEXT REFERENCES images (id),
    bootstrap_token_id TEXT NOT NULL REFERENCES bootstrap_tokens (id),
    enrolled_at BIGINT NOT NULL,
    last_seen_at BIGINT,
    last_outcome TEXT,
    last_outcome_at BIGINT,
    last_error TEXT,
    reenrol_until BIGINT,
    revoked_at BIGINT,
    version INTEGER NOT NULL
);

CREATE UNIQUE INDEX agents_name ON agents (account_id, name_key) WHERE revoked_at IS NULL;

CREATE INDEX agents_sorted ON agents (account_id, name_key, id);

CREATE INDEX agents_bootstrap_token ON agents (bootstrap_token_id);

CREATE INDEX agents_image ON agents (image_id);

-- used_at: the token's first authenticated request; never used means that its answer may have been lost.
CREATE TABLE agent_tokens (
    accessor TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    agent_id TEXT NOT NULL REFERENCES agents (id),
    bootstrap_token_id TEXT NOT NULL REFERENCES bootstrap_tokens (id),
    mac BYTES NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX agent_tokens_agent ON agent_tokens (agent_id);

CREATE INDEX agent_tokens_bootstrap ON agent_tokens (account_id, bootstrap_token_id);

-- What became of hand-overs, as far as agents reported it. The hand-overs themselves are in the audit log.
CREATE TABLE provision_results (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    agent_id TEXT NOT NULL REFERENCES agents (id),
    handed_at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    digest TEXT,
    error TEXT,
    reported_at BIGINT NOT NULL
);

CREATE INDEX provision_results_agent ON provision_results (agent_id, handed_at);

CREATE TABLE form_nonces (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    nonce TEXT NOT NULL,
    record_id TEXT NOT NULL,
    spent_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, nonce)
);

-- account_id is empty for events of the installation. (chain, seq) is the order in which the MACs chain.
CREATE TABLE audit_log (
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_label TEXT NOT NULL,
    accessor TEXT,
    action TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    object_name TEXT NOT NULL,
    secret_version INTEGER,
    decision TEXT NOT NULL,
    detail TEXT,
    address TEXT,
    request_id TEXT,
    previous_mac BYTES NOT NULL,
    mac BYTES NOT NULL,
    PRIMARY KEY (chain, seq)
);

CREATE INDEX audit_log_account ON audit_log (account_id, at, seq);
