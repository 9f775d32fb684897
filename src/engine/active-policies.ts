/** The active policy of a store, compiled once an id and connection. */
import type { SqlDatabase } from "../runtime/sqlite.ts";
import { statement } from "../store/statements.ts";
import { must } from "../util/assert.ts";
import { activate, type ActivePolicy } from "./active-policy.ts";

export class ActivePolicies {
  readonly #known = new WeakMap<
    SqlDatabase,
    { readonly id: number; readonly source: string; readonly active: ActivePolicy }
  >();

  /** The compiled policy that `state` names, as this connection sees it now; `undefined` where none was loaded. */
  of(database: SqlDatabase): ActivePolicy | undefined {
    const id = Number(statement(database, "SELECT policy_id FROM state").values()[0]?.[0] ?? 0);
    if (id === 0) return undefined;
    const row = must(
      statement(database, "SELECT source, filename FROM policy WHERE id = ?1").values(id)[0],
      "the active policy is missing",
    );
    const source = String(row[0]);
    const known = this.#known.get(database);
    // A write that was rolled back can give an id to two sources in turn, so the text decides.
    if (known?.id === id && known.source === source) return known.active;
    const active = activate(source, row[1] === null ? null : String(row[1]));
    this.#known.set(database, { id, source, active });
    return active;
  }
}
