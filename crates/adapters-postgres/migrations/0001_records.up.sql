-- Names compare by their bytes, whatever the database's own collation is: pages are promised in that order.
CREATE TABLE records (
    partition  text   COLLATE "C" NOT NULL,
    kind       text   COLLATE "C" NOT NULL,
    sort       text   COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    expires_at bigint, -- seconds since the Unix epoch
    body       bytea  NOT NULL,
    PRIMARY KEY (partition, kind, sort)
);
-- Bodies are compressed already.
ALTER TABLE records ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX records_by_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;
