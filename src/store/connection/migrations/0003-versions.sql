-- Format 3: counts of changes, for the decision cache.

ALTER TABLE state ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE relation ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
