-- The most rows of a table (`fact_<id>`, `closure_<id>`) that have the same values in some of its columns (their numbers from 1, those that an
-- order of the table begins with), of each kind of row: what its values are, by the numbers of their types, the values themselves where a
-- policy tells them apart, or 0 for any. Without columns, `rows` is how many there are at all, and `bound` a number that is mostly larger and seldom changes.
-- Deletions make only `rows` less.
CREATE TABLE degree (table_name TEXT NOT NULL, columns TEXT NOT NULL, kinds TEXT NOT NULL, most INTEGER NOT NULL, PRIMARY KEY (table_name, columns, kinds)) STRICT, WITHOUT ROWID;

-- The orders of which that is kept, and which values of which column are kinds of their own; both JSON.
CREATE TABLE degree_shape (table_name TEXT PRIMARY KEY, orders TEXT NOT NULL, apart TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Another number whenever any of it but `rows` is another.
ALTER TABLE state ADD COLUMN degree_stamp INTEGER NOT NULL DEFAULT 0;
