-- Version 2.

-- $share/GROUP/FILTER, the subscription that the delivery came through; NULL: not shared.
ALTER TABLE delivery ADD COLUMN share TEXT;

INSERT INTO meta VALUES
    ('clock', 0),         -- the broker's time as last written, milliseconds since 1970; 0: unknown
    ('clock_uptime', 0),  -- CLOCK_BOOTTIME then, in milliseconds
    ('clock_boot', 0),    -- which boot of the machine that was; 0: unknown
    ('clock_stepped', 0), -- 1: the wall clock was stepped since that time scale began
    ('stopped_at', 0);    -- when the last orderly stop began, by the same clock; 0: it did not
