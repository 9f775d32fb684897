/** Runs every check. Each one reads the whole tree and adds to the report, so their order does not matter. */
import type { Context } from "./context.ts";
import { checkAssertions } from "./assertions.ts";
import { checkRelationActors } from "./relation-actors.ts";
import { checkFactArity } from "./fact-arity.ts";
import { checkFixtures } from "./fixtures.ts";
import { checkGlobalBlocks } from "./global-blocks.ts";
import { checkKinds } from "./kinds.ts";
import { checkLists } from "./lists.ts";
import { checkLiterals } from "./literals.ts";
import { checkNames } from "./names.ts";
import { checkNegation } from "./negation.ts";
import { checkSections } from "./sections.ts";
import { checkShorthand } from "./shorthand.ts";
import { checkSingletons } from "./singletons.ts";
import { checkSupertypes } from "./supertypes.ts";
import { checkTestNames } from "./test-names.ts";
import { checkUndeclaredNames } from "./undeclared-names.ts";
import { checkUndeclaredTypes } from "./undeclared-types.ts";
import { checkUnbound } from "./unbound.ts";
import { checkUnsupported } from "./unsupported.ts";

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
