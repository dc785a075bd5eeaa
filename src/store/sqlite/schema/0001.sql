-- Version 1. Comments here are kept in the file and shown by `.schema`.

CREATE TABLE message ( -- stands once, however many sessions wait for it
    id           INTEGER PRIMARY KEY,
    topic        TEXT    NOT NULL,
    payload      BLOB    NOT NULL,
    qos          INTEGER NOT NULL, -- as published
    retain       INTEGER NOT NULL, -- as published
    properties   BLOB,             -- MQTT 5, encoded
    published_at INTEGER NOT NULL, -- milliseconds since 1970
    expires_at   INTEGER           -- milliseconds since 1970
) STRICT;

CREATE TABLE delivery ( -- ids only grow, so that all sessions share the last page
    id        INTEGER PRIMARY KEY,
    session   INTEGER NOT NULL,
    message   INTEGER NOT NULL,
    qos       INTEGER NOT NULL, -- of this delivery
    packet_id INTEGER NOT NULL,
    received  INTEGER NOT NULL, -- 1: PUBREC has come, PUBREL is due
    shared    INTEGER NOT NULL, -- 1: the message has more deliveries than this one
    size      INTEGER NOT NULL, -- bytes of topic, properties and payload
    retain    INTEGER NOT NULL  -- the flag that the receiver is to see
) STRICT;

CREATE TABLE session (
    id              INTEGER PRIMARY KEY,
    client_id       TEXT    NOT NULL UNIQUE,
    version         INTEGER NOT NULL, -- MQTT protocol level: 3, 4 or 5
    expiry          INTEGER NOT NULL, -- seconds; 4294967295 is for ever
    disconnected_at INTEGER,          -- milliseconds since 1970; NULL: connected
    sent_up_to      INTEGER NOT NULL, -- largest delivery that may have been sent
    will_topic      TEXT,             -- NULL: no will
    will_payload    BLOB,
    will_properties BLOB,
    will_qos        INTEGER,
    will_retain     INTEGER,
    will_delay      INTEGER,
    will_expiry     INTEGER
) STRICT;

CREATE TABLE subscription (
    session             INTEGER NOT NULL,
    filter              TEXT    NOT NULL, -- in full, $share/... included
    qos                 INTEGER NOT NULL,
    no_local            INTEGER NOT NULL,
    retain_as_published INTEGER NOT NULL,
    retain_handling     INTEGER NOT NULL,
    identifier          INTEGER,
    PRIMARY KEY (session, filter)
) STRICT, WITHOUT ROWID;

CREATE TABLE incoming ( -- QoS 2 publishes of this session that wait for PUBREL
    session   INTEGER NOT NULL,
    packet_id INTEGER NOT NULL,
    PRIMARY KEY (session, packet_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE retained (
    topic        TEXT PRIMARY KEY NOT NULL,
    payload      BLOB    NOT NULL,
    qos          INTEGER NOT NULL,
    properties   BLOB,
    published_at INTEGER NOT NULL,
    expires_at   INTEGER
) STRICT;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No id beyond these has been given out. The broker reserves them in blocks.
INSERT INTO meta VALUES ('reserved_message', 0), ('reserved_delivery', 0), ('reserved_session', 0);
-- 1 from an orderly shutdown to the next start.
INSERT INTO meta VALUES ('clean', 1);

CREATE VIEW queue_by_client AS
    SELECT s.client_id, count(*) AS deliveries, sum(d.size) AS bytes,
           sum(d.received) AS received, min(d.id) AS first, max(d.id) AS last
    FROM delivery d JOIN session s ON s.id = d.session
    GROUP BY d.session ORDER BY deliveries DESC;

CREATE VIEW inflight AS
    SELECT s.client_id, d.packet_id, d.qos, d.id AS delivery, m.topic, d.size,
           CASE d.received WHEN 1 THEN 'PUBREC received' ELSE 'sent' END AS state,
           datetime(m.published_at / 1000, 'unixepoch') AS published
    FROM delivery d JOIN session s ON s.id = d.session LEFT JOIN message m ON m.id = d.message
    WHERE d.id <= s.sent_up_to ORDER BY d.id;

CREATE VIEW sizes AS -- of contents; pages and indexes come on top
    SELECT 'message' AS name, count(*) AS entries,
           sum(length(CAST(topic AS BLOB)) + length(payload) + ifnull(length(properties), 0)) AS bytes
    FROM message
    UNION ALL SELECT 'delivery', count(*), sum(size) FROM delivery
    UNION ALL SELECT 'retained', count(*),
           sum(length(CAST(topic AS BLOB)) + length(payload) + ifnull(length(properties), 0))
    FROM retained
    UNION ALL SELECT 'session', count(*), sum(length(CAST(client_id AS BLOB))) FROM session
    UNION ALL SELECT 'subscription', count(*), sum(length(CAST(filter AS BLOB))) FROM subscription
    UNION ALL SELECT 'incoming', count(*), NULL FROM incoming;
