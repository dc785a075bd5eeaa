-- Version 3.

-- The verified user name that the session belongs to; NULL: to nobody, so any client may take it.
ALTER TABLE session ADD COLUMN owner TEXT;
