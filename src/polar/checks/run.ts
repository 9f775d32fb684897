/** Runs every check. Each one reads the whole tree and adds to the report, so their order does not matter. */
import { checkGlobalBlocks, checkNames, checkSections } from "./blocks.ts";
import type { Context } from "./context.ts";
import { checkLiterals, checkUndeclaredTypes } from "./mentions.ts";
import { checkNegation } from "./negation.ts";
import { checkLists, checkSingletons, checkUnsupported } from "./rules.ts";
import { checkRelationActors, checkShorthand } from "./shorthand.ts";
import { checkAssertions, checkFactArity, checkFixtures, checkTestNames } from "./tests.ts";
import { checkKinds, checkSupertypes } from "./declared-types.ts";
import { checkUnbound } from "./unbound.ts";
import { checkUndeclaredNames } from "./undeclared-names.ts";

const checks: readonly ((context: Context) => void)[] = [
  checkKinds,
  checkGlobalBlocks,
  checkSections,
  checkNames,
  checkSupertypes,
  checkShorthand,
  checkRelationActors,
  checkUndeclaredTypes,
  checkUndeclaredNames,
  checkLiterals,
  checkLists,
  checkSingletons,
  checkUnbound,
  checkNegation,
  checkUnsupported,
  checkFactArity,
  checkTestNames,
  checkFixtures,
  checkAssertions,
];

export function runChecks(context: Context): void {
  for (const check of checks) check(context);
}
