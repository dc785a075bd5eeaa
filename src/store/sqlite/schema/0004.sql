-- Version 4.

CREATE TABLE dead_letter ( -- what the other end of a bridge has refused for good
    -- Rises, and is never given out again: operators remove by it.
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    bridge       TEXT    NOT NULL, -- its name: its session may be gone
    failed_at    INTEGER NOT NULL, -- milliseconds since 1970
    reason       INTEGER,          -- the other end's MQTT 5.0 reason code; NULL: it gave none
    detail       TEXT    NOT NULL, -- what happened, in words
    topic        TEXT    NOT NULL, -- as published here
    remote_topic TEXT,             -- as sent; NULL: the same
    qos          INTEGER NOT NULL, -- as sent
    retain       INTEGER NOT NULL, -- as sent
    published_at INTEGER NOT NULL, -- milliseconds since 1970
    expires_at   INTEGER,          -- milliseconds since 1970
    properties   BLOB,             -- MQTT 5, encoded, as published here
    payload      BLOB    NOT NULL
) STRICT;

-- Finds the oldest of one bridge, and a page of them, among those of all others.
CREATE INDEX dead_letter_by_bridge ON dead_letter (bridge);

DROP VIEW sizes;
CREATE VIEW sizes AS -- of contents; pages and indexes come on top
    SELECT 'message' AS name, count(*) AS entries,
           sum(length(CAST(topic AS BLOB)) + length(payload) + ifnull(length(properties), 0)) AS bytes
    FROM message
    UNION ALL SELECT 'delivery', count(*), sum(size) FROM delivery
    UNION ALL SELECT 'retained', count(*),
           sum(length(CAST(topic AS BLOB)) + length(payload) + ifnull(length(properties), 0))
    FROM retained
    UNION ALL SELECT 'dead_letter', count(*),
           sum(length(CAST(topic AS BLOB)) + length(payload) + ifnull(length(properties), 0))
    FROM dead_letter
    UNION ALL SELECT 'session', count(*), sum(length(CAST(client_id AS BLOB))) FROM session
    UNION ALL SELECT 'subscription', count(*), sum(length(CAST(filter AS BLOB))) FROM subscription
    UNION ALL SELECT 'incoming', count(*), NULL FROM incoming;
