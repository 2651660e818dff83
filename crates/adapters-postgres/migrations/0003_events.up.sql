-- Events that do not fit into a notification, which carries less than 8000 bytes. Kept until every listener has read them.
CREATE TABLE events (
    id           uuid   PRIMARY KEY,
    user_id      uuid   NOT NULL,
    published_at bigint NOT NULL, -- milliseconds since the Unix epoch
    name         bytea  NOT NULL,
    body         bytea  NOT NULL
);
CREATE INDEX events_by_user ON events (user_id);
CREATE INDEX events_by_age ON events (published_at);
