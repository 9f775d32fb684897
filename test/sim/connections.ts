/**
 * What the system does for a process that dies: its connections to databases are closed. Here all processes are one, and nothing but this knows which
 * connections belonged to the dead one.
 */
import { Database, type Statement } from "bun:sqlite";
import { must } from "../../src/util/assert.ts";
import { commitOn } from "./disks.ts";
import { actor, type Owner } from "./time.ts";

interface Connection {
  readonly database: Database;
  readonly statements: Set<WeakRef<Statement>>;
}

/** Those in a transaction that writes. */
const writing = new WeakSet<Database>();
const connections = new Map<Owner, Map<Database, Connection>>();

/** Notes from now on who opens what. */
function watchConnections(): void {
  const { prepare, run, close } = Database.prototype;
  Database.prototype.prepare = function (this: Database, ...call: Parameters<typeof prepare>) {
    const statement = prepare.apply(this, call);
    const owner = actor.getStore();
    if (owner !== undefined) connectionOf(owner, this).statements.add(new WeakRef(statement));
    return statement;
  } as typeof prepare;
  Database.prototype.run = function (this: Database, ...call: Parameters<typeof run>) {
    const owner = actor.getStore();
    if (owner !== undefined) connectionOf(owner, this);
    // Whoever holds a lock is in this thread, and can't let go of it while it is waited for.
    const [sql, ...rest] = call;
    if (sql === "BEGIN IMMEDIATE") writing.add(this);
    else if (sql === "ROLLBACK") writing.delete(this);
    else if (sql === "COMMIT" && writing.delete(this)) {
      let changes: ReturnType<typeof run> | undefined;
      commitOn(owner, this, () => (changes = run.call(this, sql)));
      return must(changes);
    }
    return run.call(this, sql.replace(/^PRAGMA busy_timeout = \d+$/, "PRAGMA busy_timeout = 0"), ...rest);
  };
  Database.prototype.close = function (this: Database, ...call: Parameters<typeof close>) {
    for (const [owner, owned] of connections) if (owned.delete(this) && owned.size === 0) connections.delete(owner);
    return close.apply(this, call);
  };
}

function connectionOf(owner: Owner, database: Database): Connection {
  const owned = connections.get(owner) ?? new Map<Database, Connection>();
  connections.set(owner, owned);
  const connection = owned.get(database) ?? { database, statements: new Set() };
  owned.set(database, connection);
  return connection;
}

/** As the system would, without a word to the process. Its files must be somebody else's by now: closing writes to them. */
export function closeConnections(owner: Owner): void {
  for (const { database, statements } of connections.get(owner)?.values() ?? []) {
    for (const statement of statements) statement.deref()?.finalize();
    try {
      database.close();
    } catch {
      // Damaged, or its files are gone.
    }
  }
  connections.delete(owner);
}

watchConnections();
