/** The simulation is worth something only if it notices what is wrong: each of these is planted into the program under test, and must be found. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import type { Plant } from "./plants.ts";
import { runSeed } from "./run.ts";

/** Chance decides whether a fault shows in a run; within so many it does. */
const seedsMax = 12;

async function found(plant: Plant): Promise<string> {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const { failure } = await runSeed(seed, plant);
    if (failure !== undefined) return failure.message;
  }
  return "nothing";
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
    expect(await found(plant)).toContain("which is right at none of");
  }, 120_000);

  test("a request that is done twice", async () => {
    const plant: Plant = {
      writer: (_owner, commands) => ({
        ...commands,
        write: (request, { traceparent }) => commands.write(request, { traceparent }),
      }),
    };
    expect(await found(plant)).toMatch(
      /did a request again|where it was not done|was answered with|is gone, without a trace/,
    );
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
    expect(await found(plant)).toContain("the token says");
  }, 120_000);

  test("an acknowledged write that was not on the disk", async () => {
    expect(await found({ forgetfulDisks: true })).toMatch(/is gone|is lost|the token says/);
  }, 120_000);

  test("a write that is acknowledged before enough edges have it", async () => {
    expect(await found({ impatient: true })).toContain("was acknowledged by");
  }, 120_000);

  test("a token that is refused although its write is there", async () => {
    const plant: Plant = {
      serve(_process, request) {
        if (!request.headers.has("osooffset")) return undefined;
        return Promise.resolve(Response.json({ message: "lost" }, { status: 409 }));
      },
    };
    expect(await found(plant)).toContain("is lost, which it has");
  }, 120_000);
});
