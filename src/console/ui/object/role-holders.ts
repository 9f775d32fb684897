/** Rows of roles as a list of actors. */

export interface RoleHolder {
  readonly type: string;
  /** `null` for every actor of the type. */
  readonly id: string | null;
  readonly roles: readonly string[];
}

export interface RoleRow {
  readonly actor: string | null;
  readonly role: string | null;
}

/** One row for each actor, every actor of the type first. */
export function holdersIn(type: string, rows: readonly RoleRow[]): RoleHolder[] {
  const byActor = Map.groupBy(rows, ({ actor }) => actor);
  const holders = [...byActor].map(([id, found]) => ({
    type,
    id,
    roles: [...new Set(found.map(({ role }) => role ?? "*"))].toSorted(),
  }));
  return holders.toSorted((one, other) => Number(other.id === null) - Number(one.id === null));
}
