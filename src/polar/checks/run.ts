/**
 * Runs the checks. Each one reads the whole tree and adds to the report, so their order does not matter. Those that only
 * warn are separate: a node that starts does not need them.
 */
import { checkGlobalBlocks, checkNames, checkSections } from "./blocks.ts";
import type { Context } from "./context.ts";
import { checkLiterals, checkUndeclaredTypes } from "./mentions.ts";
import { checkNegation } from "./negation.ts";
import { checkLists, checkSingletons, checkUnsupported } from "./rules.ts";
import { checkRelationActors, checkShorthand } from "./shorthand.ts";
import { checkAssertions, checkFactArity, checkFixtures, checkTestNames } from "./tests.ts";
import { checkKinds, checkSupertypes } from "./declared-types.ts";
import { checkUnbound } from "./unbound.ts";
import { checkUses } from "./uses.ts";

const checks: readonly ((context: Context) => void)[] = [
  checkKinds,
  checkGlobalBlocks,
  checkSections,
  checkNames,
  checkSupertypes,
  checkShorthand,
  checkRelationActors,
  checkLiterals,
  checkLists,
  checkUnbound,
  checkUnsupported,
  checkFactArity,
  checkTestNames,
  checkFixtures,
  checkAssertions,
];

export function runChecks(context: Context): void {
  for (const check of checks) check(context);
}

const warnings: typeof checks = [checkUndeclaredTypes, checkSingletons, checkNegation, checkUses];

export function warn(context: Context): void {
  for (const check of warnings) check(context);
}
