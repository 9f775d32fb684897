-- Which transitive closures are kept in which table (`closure_<id>`, columns a1 and a2: from and to). `name` says of what (datalog/closures.ts).
-- `kept` is 0 where there were too many rows: then the table is empty, and questions walk the facts.
CREATE TABLE closure (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL, kept INTEGER NOT NULL) STRICT;

-- Another number whenever questions have to be planned anew: a policy became active, a closure came or went.
ALTER TABLE state ADD COLUMN plan_stamp INTEGER NOT NULL DEFAULT 0;
