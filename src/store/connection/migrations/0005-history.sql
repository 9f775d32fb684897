-- `digest` is the state's after the event, `total` the bytes of all bodies up to and with it; null in rows that an older binary wrote.
ALTER TABLE log ADD COLUMN digest TEXT;
ALTER TABLE log ADD COLUMN total INTEGER;

-- Every epoch of this history: it begins behind `offset`, where the one before ended with chain hash `hash`. A later one has a higher term.
CREATE TABLE epoch (term INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, offset INTEGER NOT NULL, hash TEXT NOT NULL, time_ms INTEGER NOT NULL) STRICT;
INSERT INTO epoch (term, epoch, offset, hash, time_ms) SELECT 0, epoch, 0, '0000000000000000', 0 FROM state;
ALTER TABLE state ADD COLUMN term INTEGER NOT NULL DEFAULT 0;

-- Writes that were done, by what names the request: who sends one again gets the first answer, and nothing is done twice.
CREATE TABLE answered (request TEXT PRIMARY KEY, offset INTEGER NOT NULL, inserted INTEGER NOT NULL, deleted INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX answered_offset ON answered (offset);

-- The facts (their interned ids, as JSON) that an event `clear` took away, for as long as the log has the event: without them nobody could go back behind it.
CREATE TABLE cleared (offset INTEGER NOT NULL, relation INTEGER NOT NULL, ids TEXT NOT NULL) STRICT;
CREATE INDEX cleared_offset ON cleared (offset);
