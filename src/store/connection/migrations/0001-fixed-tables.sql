-- Format 1: the fixed tables. `schema.ts` describes them.

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

CREATE TABLE node (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE symbol (id INTEGER PRIMARY KEY, type INTEGER NOT NULL, value TEXT NOT NULL, UNIQUE (type, value)) STRICT;

CREATE TABLE relation (id INTEGER PRIMARY KEY, predicate TEXT NOT NULL, arity INTEGER NOT NULL, UNIQUE (predicate, arity)) STRICT;
