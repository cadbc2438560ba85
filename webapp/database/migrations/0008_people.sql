-- Members who are invited, the other ways to sign in, tokens for programs, and who guesses passwords.

-- A one-time link: its token's MAC is over its id, account, address, role and expiry.
CREATE TABLE invitations (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    accessor TEXT NOT NULL UNIQUE,
    mac BYTES NOT NULL,
    email TEXT NOT NULL,
    email_key KEYTEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'editor', 'viewer')),
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    invited_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    accepted_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX invitations_account ON invitations (account_id, created_at);

-- credential_id and public_key as WebAuthn gives them; the MAC is over both, the member and the account.
CREATE TABLE passkeys (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    member_id TEXT NOT NULL REFERENCES members (id),
    credential_id KEYTEXT NOT NULL UNIQUE,
    public_key BYTES NOT NULL,
    mac BYTES NOT NULL,
    name TEXT NOT NULL,
    sign_count BIGINT NOT NULL,
    backed_up INTEGER NOT NULL,
    transports TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);

CREATE INDEX passkeys_member ON passkeys (account_id, member_id);

-- A person of an OpenID Connect issuer who is a member here.
CREATE TABLE identities (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    member_id TEXT NOT NULL REFERENCES members (id),
    issuer KEYTEXT NOT NULL,
    subject KEYTEXT NOT NULL,
    mac BYTES NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);

CREATE UNIQUE INDEX identities_subject ON identities (issuer, subject);

CREATE UNIQUE INDEX identities_member ON identities (member_id, issuer);

-- role is the most that the token may do; its MAC is over the member and the role as well.
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    member_id TEXT NOT NULL REFERENCES members (id),
    accessor TEXT NOT NULL UNIQUE,
    mac BYTES NOT NULL,
    name TEXT NOT NULL,
    name_key KEYTEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'editor', 'viewer')),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX api_tokens_account ON api_tokens (account_id, created_at);

CREATE INDEX api_tokens_member ON api_tokens (account_id, member_id);

-- Failed sign-ins of the last hour by whom they were tried for and from where, each as a keyed hash: one for all processes.
CREATE TABLE sign_in_failures (
    subject KEYTEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL
);

CREATE INDEX sign_in_failures_last ON sign_in_failures (last_at);

-- How the session began: password, passkey, oidc, set_up or invitation.
ALTER TABLE sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'password';
