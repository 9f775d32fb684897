/** Why a rule has no SQL: the question is refused, because an approximation could allow too much. */
import type { ClauseOrigin } from "../datalog/ir/flat.ts";
import type { ProgramRule } from "../datalog/ir/program.ts";

/** The rules of a clause, outer ones first. */
export type Origins = readonly Pick<ClauseOrigin, "rule">[];

export class NotExpressible extends Error {
  /** The rules of the clause that has no SQL, if they are known. */
  origins: Origins | undefined;
}

/** Runs `body`. Errors about rules get these origins, unless they have some. */
export function about<T>(origins: Origins | undefined, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof NotExpressible) error.origins ??= origins;
    throw error;
  }
}

/** The rule that people should look at: the innermost one that has more than calls, or else the innermost one. */
export function shownRule(origins: Origins = []): ProgramRule | undefined {
  const written = origins.filter(({ rule }) => !rule.implicit);
  const shown = written.findLast(({ rule }) => rule.body.some(({ kind }) => kind !== "call")) ?? written.at(-1);
  return shown?.rule;
}
