/**
 * Closes the database connections of a simulated process that dies, as the operating system does for a real one. Here
 * all simulated processes are one, so this records which connections belong to which.
 */
import { Database, type Statement } from "bun:sqlite";
import { must } from "../../src/util/assert.ts";
import { commitOn } from "./disks.ts";
import { actor, type Owner } from "./time.ts";

interface Connection {
  readonly database: Database;
  readonly statements: Set<WeakRef<Statement>>;
}

/** The connections with a write transaction. */
const writing = new WeakSet<Database>();
const connections = new Map<Owner, Map<Database, Connection>>();

/** Records from now on which process opens which connection. */
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
    // The holder of a lock runs in this thread, so it cannot release the lock while another waits for it.
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

/** Closes them without telling the process. Its files must have been moved before, because closing writes to them. */
export function closeConnections(owner: Owner): void {
  for (const { database, statements } of connections.get(owner)?.values() ?? []) {
    for (const statement of statements) statement.deref()?.finalize();
    try {
      database.close();
    } catch {
      // It is damaged, or its files are gone.
    }
  }
  connections.delete(owner);
}

watchConnections();
