/**
 * Resolves requested changes into effects: it checks facts against the fact schema of the active policy, turns wildcard
 * deletes into the facts that they match, and lets each change of a batch see the changes before it.
 */
import { defaultLimits, type Limits } from "../../config/limits.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { hasFact, matchFacts } from "../../store/facts/fact-tables.ts";
import type { Fact, FactPattern } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { activationOf } from "../../policy/activation.ts";
import { checkFactSchema } from "../../policy/fact-schema.ts";
import { checkFact } from "../../policy/fact-check.ts";
import { factKey } from "../../policy/keys.ts";
import type { EffectOf, FactChange } from "../event/event.ts";

/** The net effect of the changes, in order; stores nothing. Throws `invalid_request` for a fact that is refused. */
export function resolveChanges(
  database: Connection,
  changes: readonly FactChange[],
  limits: Limits = defaultLimits,
): EffectOf<"facts"> {
  const pending = new PendingChanges(database);
  const active = activationOf(database)?.active;
  for (const change of changes) {
    if ("inserts" in change) {
      for (const fact of change.inserts) {
        checkFact(fact, limits);
        const found = checkFactSchema(fact, active);
        if (found) throw new AppError("invalid_request", `${found.problem}. Help: ${found.fix}`);
        pending.insert(fact);
      }
    } else for (const pattern of change.deletes) pending.delete(pattern, limits.wildcardDeleteFactsMax);
  }
  return pending.effect();
}

/** The facts that a batch touches: whether each was stored before, and whether it exists after the changes so far. */
class PendingChanges {
  readonly #database: Connection;
  readonly #touched = new Map<string, { readonly fact: Fact; readonly stored: boolean; present: boolean }>();

  constructor(database: Connection) {
    this.#database = database;
  }

  insert(fact: Fact): void {
    this.#touch(fact, true);
  }

  delete(pattern: FactPattern, factsMax: number): void {
    // Facts that an earlier change of this batch deleted are still stored, but the pattern no longer matches them.
    const stored = matchFacts(this.#database, pattern, factsMax + 1 + this.#touched.size);
    const present = stored.filter((fact) => this.#touched.get(factKey(fact))?.present !== false);
    if (present.length > factsMax) {
      throw new AppError(
        "too_large",
        `a delete pattern for \`${pattern.predicate}\` covers more than ${factsMax} facts: narrow it`,
      );
    }
    for (const fact of stored) this.#touch(fact, false);
    for (const entry of this.#touched.values()) if (matches(pattern, entry.fact)) entry.present = false;
  }

  effect(): EffectOf<"facts"> {
    const entries = [...this.#touched.values()];
    return {
      kind: "facts",
      inserted: entries.filter((entry) => entry.present && !entry.stored).map((entry) => mutable(entry.fact)),
      deleted: entries.filter((entry) => !entry.present && entry.stored).map((entry) => mutable(entry.fact)),
    };
  }

  #touch(fact: Fact, present: boolean): void {
    const key = factKey(fact);
    const known = this.#touched.get(key);
    if (known) known.present = present;
    else this.#touched.set(key, { fact, stored: hasFact(this.#database, fact), present });
  }
}

function mutable(fact: Fact): { predicate: string; args: { type: string; id: string }[] } {
  return { predicate: fact.predicate, args: fact.args.map((arg) => ({ type: arg.type, id: arg.id })) };
}

function matches(pattern: FactPattern, fact: Fact): boolean {
  return (
    pattern.predicate === fact.predicate &&
    pattern.args.length === fact.args.length &&
    pattern.args.every((arg, index) => {
      const value = fact.args[index];
      return (arg.type === null || arg.type === value?.type) && (arg.id === null || arg.id === value?.id);
    })
  );
}
