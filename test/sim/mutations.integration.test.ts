/** Mutation tests of the simulation: it finds each planted bug. `mutations.test.ts` has the quickest of the strongest. */
import { expect, test } from "bun:test";
import { findBug, plantedBugs } from "./planted-bugs.ts";

const minutes = 60_000;

test.each(plantedBugs.map((bug) => [bug.name, bug] as const))(
  "the simulation finds %s",
  async (_, bug) => expect(await findBug(bug)).toMatch(bug.shows),
  20 * minutes,
);
