-- The job queue. `ready_at` is when a message may be delivered next: after its delay, or when its lease runs out. It is NULL
-- for dead letters and for messages that wait behind another of their ordering key; of those that live, one has it.
-- `holding` counts deliveries and releases and is never reset: it tells a receipt from every later one.
CREATE SEQUENCE message_ids;
CREATE TABLE messages (
    id             bigint PRIMARY KEY DEFAULT nextval('message_ids'),
    ready_at       bigint, -- milliseconds since the Unix epoch, like the other instants here
    not_before     bigint NOT NULL,
    delivery_count bigint NOT NULL DEFAULT 0,
    holding        bigint NOT NULL DEFAULT 0,
    published_at   bigint NOT NULL,
    ordering_key   text   COLLATE "C",
    dead_reason    text,
    body           bytea  NOT NULL
);
CREATE INDEX messages_by_readiness ON messages (ready_at, delivery_count, id) WHERE ready_at IS NOT NULL;
CREATE UNIQUE INDEX messages_at_the_head ON messages (ordering_key)
    WHERE ready_at IS NOT NULL AND ordering_key IS NOT NULL;
CREATE INDEX messages_alive_by_key ON messages (ordering_key, id)
    WHERE ordering_key IS NOT NULL AND dead_reason IS NULL;
CREATE INDEX messages_by_key ON messages (ordering_key) WHERE ordering_key IS NOT NULL;
CREATE INDEX messages_alive ON messages (published_at) WHERE dead_reason IS NULL;
CREATE INDEX messages_dead ON messages (id) WHERE dead_reason IS NOT NULL;

CREATE TABLE published (
    dedup_id   text   COLLATE "C" PRIMARY KEY,
    message_id bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX published_by_expiry ON published (expires_at);
