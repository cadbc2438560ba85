-- When agents were last here and what became of their hand-overs, and when a credential was last handed over: in narrow tables of
-- their own, so that writing it touches no row that a hand-over is made of. Every agent and every credential has its row from the start.

CREATE TABLE agent_activity (
    agent_id TEXT PRIMARY KEY REFERENCES agents (id),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    last_seen_at BIGINT,
    last_outcome TEXT,
    last_outcome_at BIGINT,
    last_error TEXT
);

CREATE TABLE registry_credential_activity (
    registry_credential_id TEXT PRIMARY KEY REFERENCES registry_credentials (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    last_used_at BIGINT
);

INSERT INTO agent_activity (agent_id, account_id, last_seen_at, last_outcome, last_outcome_at, last_error)
    SELECT id, account_id, last_seen_at, last_outcome, last_outcome_at, last_error FROM agents;

INSERT INTO registry_credential_activity (registry_credential_id, account_id, last_used_at)
    SELECT id, account_id, last_used_at FROM registry_credentials;

ALTER TABLE agents DROP COLUMN last_seen_at;
ALTER TABLE agents DROP COLUMN last_outcome;
ALTER TABLE agents DROP COLUMN last_outcome_at;
ALTER TABLE agents DROP COLUMN last_error;
ALTER TABLE registry_credentials DROP COLUMN last_used_at;

-- Each list is read in the order of an index, from any of its keys on.

CREATE INDEX registry_credentials_by_host ON registry_credentials (account_id, host, name_key, id);

CREATE INDEX registry_credentials_by_replaced ON registry_credentials (account_id, replaced_at, id);

DROP INDEX agents_sorted;

DROP INDEX agents_bootstrap_token;

CREATE INDEX agents_revoked ON agents (account_id, name_key, id) WHERE revoked_at IS NOT NULL;

CREATE INDEX agents_bootstrap_token ON agents (bootstrap_token_id, name_key, id);

-- A rotation reads the values of a key in pages.

DROP INDEX registry_credentials_kek;

DROP INDEX secrets_kek;

DROP INDEX env_imports_kek;

CREATE INDEX registry_credentials_kek ON registry_credentials (kek_id, id);

CREATE INDEX secrets_kek ON secrets (kek_id, id);

CREATE INDEX env_imports_kek ON env_imports (kek_id, id);
