-- Root keys that a KMS has wrapped. The one that the keyring names by its fingerprint is in use; the others stay for the backups.

CREATE TABLE root_keys (
    fingerprint TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    created_at BIGINT NOT NULL
);
