/** The quickest of the strongest mutations. `mutations.integration.test.ts` has the others. */
import { expect, test } from "bun:test";
import { findBug, plantedBugs } from "./planted-bugs.ts";

const chosen = plantedBugs.filter(({ isQuick }) => isQuick);

test.each(chosen.map((bug) => [bug.name, bug] as const))(
  "the simulation finds %s",
  async (_, bug) => expect(await findBug(bug)).toMatch(bug.shows),
  1_200_000,
);
