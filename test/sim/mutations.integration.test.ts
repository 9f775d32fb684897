/** Mutation tests of the simulation: it finds each planted bug that `mutations.test.ts` does not have. */
import { expect, test } from "bun:test";
import { findBug, plantedBugs } from "./planted-bugs.ts";

const minutes = 60_000;

const others = plantedBugs.filter(({ isQuick }) => isQuick !== true);

test.each(others.map((bug) => [bug.name, bug] as const))(
  "the simulation finds %s",
  async (_, bug) => expect(await findBug(bug)).toMatch(bug.shows),
  20 * minutes,
);
