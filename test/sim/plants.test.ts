/** The simulation is worth something only if it notices what is wrong: each of these is planted into the program under test, and must be found. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { Freshness } from "../../src/replication/following/freshness.ts";
import type { Plant } from "./plants.ts";
import { runSeed } from "./run.ts";

/** Chance decides whether a fault shows in a run; within so many it does. */
const seedsMax = 12;

/** The plant is found as what it is. It may show in another way first, which is a finding as well, but not this one. */
async function expectFound(plant: Plant, wanted: RegExp): Promise<void> {
  const messages: string[] = [];
  for (let seed = 1; seed <= seedsMax && !wanted.test(messages.at(-1) ?? ""); seed++) {
    const { failure } = await runSeed(seed, plant);
    if (failure !== undefined) messages.push(failure.message);
  }
  expect(messages.at(-1)).toMatch(wanted);
}

/** Takes one fact out of a node's store behind its back. */
function loseFact(path: string): void {
  const store = new Database(path);
  const table = "SELECT name FROM sqlite_schema WHERE name LIKE 'fact_%' AND type = 'table' LIMIT 1";
  const name = store.query(table).values()[0]?.[0];
  if (typeof name === "string") {
    const columns = store.query(`SELECT name FROM pragma_table_info('${name}')`).values().flat().join(", ");
    store.run(`DELETE FROM ${name} WHERE (${columns}) IN (SELECT ${columns} FROM ${name} LIMIT 1)`);
  }
  store.close();
}

describe("is found:", () => {
  test("an event that an edge skips", async () => {
    const plant: Plant = {
      writer(owner, commands) {
        let [path, replays] = ["", 0];
        return {
          ...commands,
          open: (options) => commands.open({ ...options, path: (path = options.path) }),
          replay(request) {
            const replayed = commands.replay(request);
            if (owner.name === "b" && replays++ > 3) loseFact(path);
            return replayed;
          },
        };
      },
    };
    await expectFound(plant, /which is right at none of/);
  }, 120_000);

  test("a copy that takes what is only announced", async () => {
    const plant: Plant = {
      writer: (_owner, commands) => ({ ...commands, prepare: (request) => void commands.replay(request) }),
      failing: 0.3,
    };
    await expectFound(plant, /which never was|another digest/);
  }, 120_000);

  test("a request that is done twice", async () => {
    const plant: Plant = {
      writer: (_owner, commands) => ({
        ...commands,
        write: (request, { traceparent }) => commands.write(request, { traceparent }),
      }),
    };
    await expectFound(plant, /did a request again|where it was not done|was answered with/);
  }, 120_000);

  test("an answer before its token", async () => {
    const plant: Plant = {
      serve(process, request, serve) {
        if (process.role !== "edge" || !request.headers.has("osooffset")) return undefined;
        const stripped = new Request(request);
        stripped.headers.delete("osooffset");
        return Promise.resolve(serve(stripped));
      },
    };
    await expectFound(plant, /the token says/);
  }, 120_000);

  test("an acknowledged write that was not on the disk", async () => {
    await expectFound({ forgetfulDisks: true }, /is gone|is lost|the token says/);
  }, 120_000);

  test("a write that is acknowledged before enough edges have it", async () => {
    await expectFound({ impatient: true }, /was acknowledged by/);
  }, 120_000);

  test("a replayed head that counts as fresh", async () => {
    const { prototype } = Freshness;
    const own = Object.getOwnPropertyDescriptors(prototype);
    // As if heads had no numbers, and their word were enough.
    Object.defineProperties(prototype, {
      judge: { value: (_head: unknown, retained: boolean) => (retained ? "hint" : "newer"), configurable: true },
      confirmedMsAgo: { get: () => 0, configurable: true },
    });
    try {
      await expectFound({}, /its copy is too old/);
    } finally {
      Object.defineProperties(prototype, own);
    }
  }, 120_000);

  test("a token that is refused although its write is there", async () => {
    const plant: Plant = {
      serve(_process, request) {
        if (!request.headers.has("osooffset")) return undefined;
        return Promise.resolve(Response.json({ message: "lost" }, { status: 409 }));
      },
    };
    await expectFound(plant, /is lost, which it has/);
  }, 120_000);
});
