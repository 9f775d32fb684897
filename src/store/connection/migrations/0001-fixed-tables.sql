-- The tables that every node has. Fact tables follow the policy and are made when a policy becomes active (store/facts.ts).

-- One row: where this copy stands. `digest` is the set hash of the whole state, `policy_id` 0 where no policy was loaded yet.
CREATE TABLE state (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  environment TEXT NOT NULL,
  epoch TEXT NOT NULL,
  offset INTEGER NOT NULL,
  hash TEXT NOT NULL,
  time_ms INTEGER NOT NULL,
  digest TEXT NOT NULL,
  policy_id INTEGER NOT NULL
) STRICT;

-- The primary's log: one event a row, offsets without gaps. `hash` chains over all rows before it.
CREATE TABLE log (
  offset INTEGER PRIMARY KEY,
  time_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL,
  traceparent TEXT,
  hash TEXT NOT NULL
) STRICT;

CREATE TABLE policy (
  id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  filename TEXT,
  time_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  hash TEXT NOT NULL,
  time_ms INTEGER NOT NULL
) STRICT;

-- Settings that belong to this node alone and never leave it: the hash of the node key, for one.
CREATE TABLE node (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- Interned values. An id is `type << 32 | number`, so that "is a User" is a range test; ids stay below 2^53.
CREATE TABLE type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE symbol (id INTEGER PRIMARY KEY, type INTEGER NOT NULL, value TEXT NOT NULL, UNIQUE (type, value)) STRICT;

-- Which predicate lives in which fact table (`fact_<id>`, columns a1 … a<arity>).
CREATE TABLE relation (id INTEGER PRIMARY KEY, predicate TEXT NOT NULL, arity INTEGER NOT NULL, UNIQUE (predicate, arity)) STRICT;
