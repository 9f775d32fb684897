-- Format 5: digests in the log; epochs, idempotency records and cleared facts.

ALTER TABLE log ADD COLUMN digest TEXT;
ALTER TABLE log ADD COLUMN total INTEGER;

CREATE TABLE epoch (term INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, offset INTEGER NOT NULL, hash TEXT NOT NULL, time_ms INTEGER NOT NULL) STRICT;
INSERT INTO epoch (term, epoch, offset, hash, time_ms) SELECT 0, epoch, 0, '0000000000000000', 0 FROM state;
ALTER TABLE state ADD COLUMN term INTEGER NOT NULL DEFAULT 0;

CREATE TABLE answered (request TEXT PRIMARY KEY, offset INTEGER NOT NULL, inserted INTEGER NOT NULL, deleted INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX answered_offset ON answered (offset);

CREATE TABLE cleared (offset INTEGER NOT NULL, relation INTEGER NOT NULL, ids TEXT NOT NULL) STRICT;
CREATE INDEX cleared_offset ON cleared (offset);
