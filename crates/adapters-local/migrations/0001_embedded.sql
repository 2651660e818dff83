-- Records. Bodies are large beside their keys, so the table keeps its rowid: new bodies are appended, and only the key's
-- index is written in random places. (WITHOUT ROWID was measured at 1.7 to 3 times the CPU of a commit.)
CREATE TABLE records (
    partition  TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    sort       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    expires_at INTEGER, -- seconds since the Unix epoch
    body       BLOB    NOT NULL,
    PRIMARY KEY (partition, kind, sort)
);
CREATE INDEX records_by_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;

-- The job queue. `ready_at` is when a message may be delivered next: after its delay, or when its lease runs out. It is
-- NULL for dead letters and for messages that wait behind another of their ordering key, so that each ordering key has at
-- most one message that is not NULL and `messages_by_readiness` holds nothing that cannot be delivered.
-- `holding` counts deliveries and releases and is never reset: it tells a receipt from every later one.
CREATE TABLE messages (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    ready_at       INTEGER, -- milliseconds since the Unix epoch, like the other instants here
    not_before     INTEGER NOT NULL,
    delivery_count INTEGER NOT NULL DEFAULT 0,
    holding        INTEGER NOT NULL DEFAULT 0,
    published_at   INTEGER NOT NULL,
    ordering_key   TEXT,
    dead_reason    TEXT,
    body           BLOB NOT NULL
);
CREATE INDEX messages_by_readiness ON messages (ready_at, delivery_count) WHERE ready_at IS NOT NULL;
CREATE INDEX messages_by_ordering_key ON messages (ordering_key, id)
    WHERE ordering_key IS NOT NULL AND dead_reason IS NULL;
CREATE INDEX messages_alive ON messages (published_at) WHERE dead_reason IS NULL;
CREATE INDEX messages_dead ON messages (id) WHERE dead_reason IS NOT NULL;

CREATE TABLE published (
    dedup_id   TEXT    PRIMARY KEY,
    message_id INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX published_by_expiry ON published (expires_at);

-- What was published on the event bus a short while ago, for the subscribers of other processes.
CREATE TABLE events (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    published_at INTEGER NOT NULL,
    id           BLOB NOT NULL,
    user_id      BLOB NOT NULL,
    name         TEXT NOT NULL,
    body         BLOB NOT NULL
);
