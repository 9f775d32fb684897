-- Format 4: statistics.

CREATE TABLE degree (table_name TEXT NOT NULL, columns TEXT NOT NULL, kinds TEXT NOT NULL, most INTEGER NOT NULL, PRIMARY KEY (table_name, columns, kinds)) STRICT, WITHOUT ROWID;

CREATE TABLE degree_shape (table_name TEXT PRIMARY KEY, orders TEXT NOT NULL, apart TEXT NOT NULL) STRICT, WITHOUT ROWID;

ALTER TABLE state ADD COLUMN degree_stamp INTEGER NOT NULL DEFAULT 0;
