-- A rotation reads the values of a key in the order in which they lie on the disk, which every index holds behind its columns.

DROP INDEX registry_credentials_kek;

DROP INDEX secrets_kek;

DROP INDEX env_imports_kek;

CREATE INDEX registry_credentials_kek ON registry_credentials (kek_id);

CREATE INDEX secrets_kek ON secrets (kek_id);

CREATE INDEX env_imports_kek ON env_imports (kek_id);
