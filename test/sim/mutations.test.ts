/** The simulation is worth something only if it notices what is wrong: each of these is planted into the program under test, and must be found. */
import { Database } from "bun:sqlite";
import { describe, expect, mock, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { Leadership } from "../../src/replication/failover/leadership.ts";
import type { NodeHead } from "../../src/replication/transport/messages.ts";
import { ReplicaLoop } from "../../src/replication/replica/replica-loop.ts";
import type { ReplicaInput } from "../../src/replication/replica/replica-state.ts";
import * as replicaState from "../../src/replication/replica/replica-state.ts";
import { Freshness } from "../../src/replication/replica/freshness.ts";
import { Fence } from "../../src/replication/failover/fence.ts";
import { Votes } from "../../src/replication/failover/votes.ts";
import { StartTerm } from "../../src/replication/failover/start-term.ts";
import * as twins from "../../src/replication/failover/duplicate-primary.ts";
import { readNodeFile, writeNodeFile } from "../../src/store/directory/data-directory.ts";
import { PageChecksums } from "../../src/store/integrity/page-checksums.ts";
import type { StoreState } from "../../src/store/log/store-state.ts";
import { isStartTerm, nextFailoverTerm } from "../../src/store/log/terms.ts";
import { must } from "../../src/util/assert.ts";
import { storageFailureIn } from "../../src/util/storage-failure.ts";
import { Process } from "./machines.ts";
import type { Mutation } from "./mutations.ts";
import { runSeed } from "./run.ts";

/** Chance decides whether a fault shows in a run; within so many it does. */
const seedsMax = 40;

/** The plant is found as what it is. It may show in another way first, which is a finding as well, but not this one. */
async function expectFound(plant: Mutation, wanted: RegExp): Promise<void> {
  const messages: string[] = [];
  for (let seed = 1; seed <= seedsMax && !wanted.test(messages.at(-1) ?? ""); seed++) {
    const { failure } = await runSeed(seed, { failover: false, ...plant });
    if (failure !== undefined) messages.push(failure.message);
  }
  expect(messages.at(-1)).toMatch(wanted);
}

/** Runs `body` while a class has other members. */
async function changed<C extends object>(
  prototype: C,
  members: { readonly [Name in keyof C]?: PropertyDescriptor },
  body: () => Promise<void>,
): Promise<void> {
  const own = Object.getOwnPropertyDescriptors(prototype);
  Object.defineProperties(prototype, members as PropertyDescriptorMap);
  try {
    await body();
  } finally {
    Object.defineProperties(prototype, own);
  }
}

/** Each start of a primary begins a succession, which nobody has voted for. */
const startsAreSuccessions: Mutation = {
  favourite: "a primary of before starts where it reaches nobody",
  writer: (_owner, commands) => ({
    ...commands,
    write(request, meta) {
      if (request.kind !== "epoch" || !isStartTerm(request.term)) return commands.write(request, meta);
      return commands.write({ ...request, term: nextFailoverTerm(request.term) }, meta);
    },
  }),
};

/** The terms of earlier versions: the time at which they begin. */
const termsOfClocks: Mutation = {
  favourite: "a clock is put wrong",
  writer: (owner, commands) => ({
    ...commands,
    write(request, meta) {
      if (request.kind !== "epoch" || !(owner instanceof Process)) return commands.write(request, meta);
      return commands.write({ ...request, term: owner.clock.wallMs() }, meta);
    },
  }),
};

/** The heads that a primary gives over HTTP, without what says whether it may still be one. */
const assuredHeads: Mutation = {
  failover: true,
  favourite: "the primary and an edge are parted from all others",
  async serve(_process, request, serve) {
    const response = await serve(request);
    if (response.status !== 200 || new URL(request.url).pathname !== "/replication/v1/head") return response;
    const { a, ...head } = (await response.json()) as NodeHead;
    return Response.json(head.role === "primary" ? head : { ...head, a });
  },
};

const unseen = "an edge is promoted that others reach and its primary does not";
const powerCut = "the only edge that has a write loses its power, and then is promoted";
const withVotes = { ack: 1, tears: false };

/** Runs `body` while a primary starts without a look at other processes of its node. */
async function withoutSearch(body: () => Promise<void>): Promise<void> {
  const path = "../../src/replication/failover/duplicate-primary.ts";
  const own = { ...twins };
  const findPrimaries = (): Promise<twins.FoundPrimaries> => Promise.resolve({ retained: [], primary: undefined });
  await mock.module(path, () => ({ ...own, findPrimaries }));
  try {
    await body();
  } finally {
    await mock.module(path, () => own);
  }
}

/** Runs `body` while replicas ignore an input of their state machine. */
async function ignoring(type: ReplicaInput["type"], body: () => Promise<void>): Promise<void> {
  const path = "../../src/replication/replica/replica-state.ts";
  const own = { ...replicaState };
  const { transition } = own;
  const ignorant: typeof transition = (state, input) =>
    input.type === type ? { state, commands: [] } : transition(state, input);
  await mock.module(path, () => ({ ...own, transition: ignorant }));
  try {
    await body();
  } finally {
    await mock.module(path, () => own);
  }
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
    const plant: Mutation = {
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

  test("a request that is done twice", async () => {
    const plant: Mutation = {
      writer: (_owner, commands) => ({
        ...commands,
        write: (request, { traceparent }) => commands.write(request, { traceparent }),
      }),
    };
    await expectFound(plant, /did a request again|where it was not done|was answered with/);
  }, 120_000);

  test("an answer before its token", async () => {
    const plant: Mutation = {
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
    const plant: Mutation = { forgetfulDisks: true, favourite: powerCut, shape: withVotes };
    await expectFound(plant, /is gone|is lost|the token says|no policy is loaded yet/);
  }, 120_000);

  test("a write that is acknowledged although its commit failed", async () => {
    const plant: Mutation = {
      writer(_owner, commands) {
        let state: StoreState | undefined;
        return {
          ...commands,
          open: (options) => (state = commands.open(options)),
          async write(request, meta) {
            const begunMs = Date.now();
            try {
              const committed = await commands.write(request, meta);
              state = { ...must(state), ...committed.result };
              return committed;
            } catch (error) {
              if (storageFailureIn(error) === undefined) throw error;
              const { epoch, offset } = must(state);
              const result = { epoch, offset: offset + 1, timeMs: begunMs, inserted: 0, deleted: 0 };
              return { result, startMs: begunMs, decidedMs: begunMs, committedMs: begunMs };
            }
          },
        };
      },
    };
    await expectFound(plant, /where it was not done|no such row/);
  }, 120_000);

  test("a node that ends when a timer meets a full disk", async () => {
    const plant: Mutation = {
      fragileTimer: ({ directory }) =>
        writeNodeFile(directory, "position", readNodeFile(directory, "position") ?? "-:0"),
    };
    await expectFound(plant, /ends, since a timer failed/);
  }, 120_000);

  test("a copy that is thrown away because of a disk that fails", async () => {
    const plant: Mutation = {
      writer: (_owner, commands) => ({
        ...commands,
        replay(request) {
          try {
            return commands.replay(request);
          } catch (error) {
            if (storageFailureIn(error) === undefined) throw error;
            throw Object.assign(new Error("database disk image is malformed"), { code: "SQLITE_CORRUPT" });
          }
        },
      }),
    };
    await expectFound(plant, /takes a sound database for a damaged one/);
  }, 120_000);

  test("a write that is acknowledged before enough edges have it", async () => {
    await expectFound({ impatient: true }, /was acknowledged by/);
  }, 120_000);

  test("an edge that counts for an acknowledgement before it is on its disk", async () => {
    const plant: Mutation = { hastyEdges: true, favourite: powerCut, shape: withVotes };
    await expectFound(plant, /was acknowledged by|is gone, without a trace/);
  }, 240_000);

  test("the latest that is not waited for", async () => {
    const plant: Mutation = {
      serve(process, request, serve) {
        if (process.role !== "edge" || !request.headers.has("ostiary-consistency")) return undefined;
        const stripped = new Request(request);
        stripped.headers.delete("ostiary-consistency");
        return Promise.resolve(serve(stripped));
      },
    };
    await expectFound(plant, /answers the latest from/);
  }, 120_000);

  test("a position that is used twice, since a start begins no term", async () => {
    const none = {
      isBegun: { get: () => true, configurable: true },
      begin: { value: async () => {}, configurable: true },
    };
    const plant: Mutation = { favourite: "an old backup is put back" };
    await changed(StartTerm.prototype, none, () =>
      expectFound(plant, /a position that was used before|the token says/),
    );
  }, 240_000);

  test("a start that counts as a succession, so that a primary which was rolled back deposes its successor", async () => {
    await expectFound(startsAreSuccessions, /was acknowledged by|is gone, without a trace|no peace/);
  }, 240_000);

  test("a primary that does not step aside for its successor", async () => {
    const stubborn = {
      onEpoch: { value: () => {}, configurable: true },
      fence: { value: () => {}, configurable: true },
    };
    await changed(Fence.prototype, stubborn, () => expectFound({ failover: false }, /no peace|was acknowledged by/));
  }, 240_000);

  test("a replayed head that counts as fresh", async () => {
    // As if heads had no numbers, and their word were enough.
    const credulous = {
      classify: { value: (_head: unknown, retained: boolean) => (retained ? "hint" : "newer"), configurable: true },
      confirmedMsAgo: { get: () => 0, configurable: true },
    };
    await changed(Freshness.prototype, credulous, () => expectFound({}, /its copy is too old/));
  }, 120_000);

  test("bits that flip in a database in use, whose pages nobody compares with their checksums", async () => {
    const plant: Mutation = { favourite: "bits flip under a node" };
    // The pass is over at once.
    const blind = { check: { value: () => 1, configurable: true } };
    await changed(PageChecksums.prototype, blind, () => expectFound(plant, /which is right at none of/));
  }, 120_000);

  test("a token that is refused although its write is there", async () => {
    const plant: Mutation = {
      serve(_process, request) {
        if (!request.headers.has("osooffset")) return undefined;
        return Promise.resolve(Response.json({ message: "lost" }, { status: 409 }));
      },
    };
    await expectFound(plant, /is lost, which it has/);
  }, 120_000);

  test("a primary that vouches for copies although it may have been replaced", async () => {
    await expectFound(assuredHeads, /answers the latest from|its copy is too old/);
  }, 120_000);

  test("a primary that does not look at its lease, where nothing but that keeps it from writing", async () => {
    const plant: Mutation = { failover: true, favourite: "the primary is parted from all", shape: { ack: 0 } };
    const valid = { problem: { get: () => undefined, configurable: true } };
    await changed(Leadership.prototype, valid, () => expectFound(plant, /two primaries at once/));
  }, 120_000);

  test("a vote that is no promise", async () => {
    const forgetful = { grant: { value: () => {}, configurable: true } };
    const plant: Mutation = { favourite: unseen, shape: withVotes };
    await changed(Votes.prototype, forgetful, () => expectFound(plant, /was acknowledged by 1 edges/));
  }, 120_000);

  test("a vote that is forgotten at a restart", async () => {
    const starting = (directory: string): void => rmSync(join(directory, "pledge"), { force: true });
    await expectFound({ favourite: unseen, shape: withVotes, starting }, /was acknowledged by 1 edges/);
  }, 120_000);

  test("a vote for two candidates", async () => {
    const { grant: give } = Votes.prototype;
    const generous = {
      value(this: Votes, request: Parameters<Votes["grant"]>[0]): void {
        give.call(this, { ...request, force: true });
      },
      configurable: true,
    };
    const plant: Mutation = {
      favourite: "two edges are promoted at once that others reach and they do not each other",
      shape: { ack: 0 },
    };
    await changed(Votes.prototype, { grant: generous }, () => expectFound(plant, /both promoted with the same votes/));
  }, 120_000);

  test("terms that clocks give, so that a clock that was wrong once keeps later primaries from their place", async () => {
    await expectFound(termsOfClocks, /can't be promoted with all well: 409 .*does not come after the current one/);
  }, 120_000);

  test("a read that waits for the feed, which is silent, and asks nobody", async () => {
    const plant: Mutation = { favourite: "all brokers are down, and nothing else", shape: { ack: 0 } };
    const patient = { requestCatchUp: { value: () => {}, configurable: true } };
    await changed(ReplicaLoop.prototype, patient, () => expectFound(plant, /although only brokers are down/));
  }, 120_000);

  test("a primary that starts on a copy of another's directory, since it does not ask for that one", async () => {
    const plant: Mutation = { favourite: "a copy of the primary's directory is started while all reach each other" };
    await withoutSearch(() => expectFound(plant, /acknowledges writes beside it|gave way to a copy of itself/));
  }, 120_000);

  test("a primary on a copy of another's directory that does not see whom the others follow", async () => {
    const plant: Mutation = {
      favourite: "a copy of the primary's directory is started apart from all, and joins them",
    };
    const blind = { onPrimaryHeads: { value: () => {}, configurable: true } };
    await changed(twins.DuplicatePrimaryMonitor.prototype, blind, () =>
      expectFound(plant, /stays a primary beside it/),
    );
  }, 120_000);

  test("a replica that never tries a failed catch-up again", async () => {
    await ignoring("retryDue", () => expectFound({}, /no peace/));
  }, 120_000);

  test("a replica that goes on answering from a damaged database", async () => {
    const mutation: Mutation = { favourite: "bits flip under a node" };
    await ignoring("distrusted", () => expectFound(mutation, /which is right at none of/));
  }, 120_000);
});
