-- Accounts: users, addresses, sessions, refresh tokens, codes and failures, each a kind of row. What they mean is in
-- src/identity/rows.rs; only the columns that are searched by are columns. Rows whose `expires_at` has passed are as good as
-- gone, and a few are swept by every write.
CREATE TABLE identity (
    kind       TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    owner      BLOB,    -- a session's user, a refresh token's session
    expires_at INTEGER, -- milliseconds since the Unix epoch
    body       TEXT    NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX identity_by_owner ON identity (owner, kind) WHERE owner IS NOT NULL;
CREATE INDEX identity_by_expiry ON identity (expires_at) WHERE expires_at IS NOT NULL;
