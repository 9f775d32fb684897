-- `state.version` counts changes, and a predicate has the count of the last change of its facts: so a reader sees in one look which of its
-- answers may no longer stand.
ALTER TABLE state ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE relation ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
