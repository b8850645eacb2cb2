-- Keys of the API: see src/domain/access.rs. Times are Unix seconds.
CREATE TABLE api_keys (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    -- sha256 of the secret.
    hash    BLOB NOT NULL CHECK (length(hash) = 32),
    scope   TEXT NOT NULL CHECK (scope IN ('search', 'write', 'admin')),
    -- ["https://shop.example", ...]
    origins TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    -- Requests a second and at once; null: no limit.
    rate    INTEGER,
    burst   INTEGER
) STRICT;
