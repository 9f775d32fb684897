/**
 * Mutation tests of the simulation: each mutation puts a bug into the program under test, and the simulation must find
 * it.
 */
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

/** A bug shows by chance. It must show within so many seeds. */
const seedsMax = 40;

/**
 * Expects that the mutation is found with this violation. Other violations that it causes do not count. The `first` seed
 * saves time: it is one that found it before.
 */
async function expectFound(mutation: Mutation, wanted: RegExp, first = 1): Promise<void> {
  const messages: string[] = [];
  const seeds = new Set([first, ...Array.from({ length: seedsMax }, (_, index) => index + 1)]);
  for (const seed of seeds) {
    if (wanted.test(messages.at(-1) ?? "")) break;
    const { failure } = await runSeed(seed, { failover: false, ...mutation });
    if (failure !== undefined) messages.push(failure.message);
  }
  expect(messages.at(-1)).toMatch(wanted);
}

/** Runs `body` while members of a class are replaced. A mutation of a member that the class does not have is an error. */
async function changed<C extends object>(
  prototype: C,
  members: { readonly [Name in keyof C]?: PropertyDescriptor },
  body: () => Promise<void>,
): Promise<void> {
  const own = Object.getOwnPropertyDescriptors(prototype);
  for (const name of Object.keys(members)) expect(Object.keys(own)).toContain(name);
  Object.defineProperties(prototype, members as PropertyDescriptorMap);
  try {
    await body();
  } finally {
    Object.defineProperties(prototype, own);
  }
}

/** Each start of a primary begins the term of a failover, without votes. */
const startsAreFailovers: Mutation = {
  favourite: "a former primary starts and reaches no other node",
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
  favourite: "a clock is set wrong",
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
  favourite: "the primary and an edge are partitioned from all others",
  async serve(_process, request, serve) {
    const response = await serve(request);
    if (response.status !== 200 || new URL(request.url).pathname !== "/replication/v1/head") return response;
    const { a, ...head } = (await response.json()) as NodeHead;
    return Response.json(head.role === "primary" ? head : { ...head, a });
  },
};

const unseen = "an edge is promoted that the others reach and its primary does not";
const powerCut = "the only edge that has a write loses its power and is then promoted";
const withVotes = { ack: 1, tears: false };

/** Runs `body` while exports of a module are replaced. The module must exist and have them. */
async function withExports<M extends object>(
  path: string,
  exports: Partial<M>,
  body: () => Promise<void>,
): Promise<void> {
  const own = { ...((await import(path)) as M) };
  for (const name of Object.keys(exports)) expect(Object.keys(own)).toContain(name);
  await mock.module(path, () => ({ ...own, ...exports }));
  try {
    await body();
  } finally {
    await mock.module(path, () => own);
  }
}

/** Runs `body` while a primary starts without a look at other processes of its node. */
function withoutSearch(body: () => Promise<void>): Promise<void> {
  const findPrimaries = (): Promise<twins.FoundPrimaries> => Promise.resolve({ retained: [], primary: undefined });
  return withExports<typeof twins>("../../src/replication/failover/duplicate-primary.ts", { findPrimaries }, body);
}

/** Runs `body` while replicas ignore an input of their state machine. */
function ignoring(type: ReplicaInput["type"], body: () => Promise<void>): Promise<void> {
  const { transition } = { ...replicaState };
  const ignorant: typeof transition = (state, input) =>
    input.type === type ? { state, commands: [] } : transition(state, input);
  return withExports<typeof replicaState>(
    "../../src/replication/replica/replica-state.ts",
    { transition: ignorant },
    body,
  );
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

describe("the simulation finds", () => {
  test("an edge that loses a fact while it applies an event", async () => {
    const mutation: Mutation = {
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
    await expectFound(mutation, /which is right at none of/);
  }, 600_000);

  test("a write that is done twice", async () => {
    const mutation: Mutation = {
      writer: (_owner, commands) => ({
        ...commands,
        write: (request, { traceparent }) => commands.write(request, { traceparent }),
      }),
    };
    await expectFound(mutation, /did a request again|where it was not done|was answered with/, 3);
  }, 600_000);

  test("a response that does not wait for its token", async () => {
    const mutation: Mutation = {
      serve(process, request, serve) {
        if (process.role !== "edge" || !request.headers.has("osooffset")) return undefined;
        const stripped = new Request(request);
        stripped.headers.delete("osooffset");
        return Promise.resolve(serve(stripped));
      },
    };
    await expectFound(mutation, /the token says/);
  }, 600_000);

  test("an acknowledged write that was not on the disk", async () => {
    const mutation: Mutation = { forgetfulDisks: true, favourite: powerCut, shape: withVotes };
    await expectFound(mutation, /is gone|is lost|the token says|no policy is loaded yet/);
  }, 600_000);

  test("a write that is acknowledged although its commit failed", async () => {
    const mutation: Mutation = {
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
    await expectFound(mutation, /where it was not done|no such row/, 3);
  }, 600_000);

  test("a node that ends when a timer fails on a full disk", async () => {
    const mutation: Mutation = {
      fragileTimer: ({ directory }) =>
        writeNodeFile(directory, "position", readNodeFile(directory, "position") ?? "-:0"),
    };
    await expectFound(mutation, /ends, since a timer failed/, 3);
  }, 600_000);

  test("a database that is rejected because of a failing disk", async () => {
    const mutation: Mutation = {
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
    await expectFound(mutation, /takes a sound database for a damaged one/, 16);
  }, 600_000);

  test("a write that is acknowledged before enough edges have it", async () => {
    await expectFound({ impatient: true }, /was acknowledged by/, 6);
  }, 600_000);

  test("an edge that counts for an acknowledgement before it is on its disk", async () => {
    const mutation: Mutation = { hastyEdges: true, favourite: powerCut, shape: withVotes };
    await expectFound(mutation, /was acknowledged by|is gone, without a trace/);
  }, 600_000);

  test("a read of the latest state that does not wait", async () => {
    const mutation: Mutation = {
      serve(process, request, serve) {
        if (process.role !== "edge" || !request.headers.has("ostiary-consistency")) return undefined;
        const stripped = new Request(request);
        stripped.headers.delete("ostiary-consistency");
        return Promise.resolve(serve(stripped));
      },
    };
    await expectFound(mutation, /answers the latest from/);
  }, 600_000);

  test("a position that is used twice, because a start begins no term", async () => {
    const none = {
      isBegun: { get: () => true, configurable: true },
      begin: { value: async () => {}, configurable: true },
    };
    const mutation: Mutation = { favourite: "an old backup is restored" };
    await changed(StartTerm.prototype, none, () =>
      expectFound(mutation, /a position that was used before|the token says/, 5),
    );
  }, 600_000);

  test("a primary with an old directory that stays an edge after it has stepped down", async () => {
    const mutation: Mutation = { favourite: "an old backup is restored" };
    // As if it were replaced for good.
    const resigned = {
      stepDown: {
        value(this: Fence): void {
          this.fence("its data directory is not the newest");
        },
        configurable: true,
      },
    };
    await changed(Fence.prototype, resigned, () => expectFound(mutation, /nobody is the primary/, 5));
  }, 600_000);

  test("a start that counts as a failover, so that a primary with an old directory deposes its successor", async () => {
    await expectFound(startsAreFailovers, /was acknowledged by|is gone, without a trace|no peace/, 14);
  }, 600_000);

  test("a primary that does not step down for its successor", async () => {
    const stubborn = {
      onEpoch: { value: () => {}, configurable: true },
      fence: { value: () => {}, configurable: true },
    };
    await changed(Fence.prototype, stubborn, () => expectFound({ failover: false }, /no peace|was acknowledged by/));
  }, 600_000);

  test("a replayed head that counts as fresh", async () => {
    // As if heads had no sequence numbers, and no confirmation were needed.
    const credulous = {
      classify: { value: (_head: unknown, retained: boolean) => (retained ? "hint" : "newer"), configurable: true },
      confirmedMsAgo: { get: () => 0, configurable: true },
    };
    await changed(Freshness.prototype, credulous, () => expectFound({}, /its copy is too old/, 8));
  }, 600_000);

  test("flipped bits in a database in use whose pages are not compared with their checksums", async () => {
    const mutation: Mutation = { favourite: "bits flip in the file of a running node" };
    // The pass ends immediately.
    const blind = { check: { value: () => 1, configurable: true } };
    await changed(PageChecksums.prototype, blind, () => expectFound(mutation, /which is right at none of/));
  }, 600_000);

  test("a token that is refused although its write is there", async () => {
    const mutation: Mutation = {
      serve(_process, request) {
        if (!request.headers.has("osooffset")) return undefined;
        return Promise.resolve(Response.json({ message: "lost" }, { status: 409 }));
      },
    };
    await expectFound(mutation, /is lost, which it has/);
  }, 600_000);

  test("a primary that confirms replicas although it may have been replaced", async () => {
    await expectFound(assuredHeads, /answers the latest from|its copy is too old/);
  }, 600_000);

  test("a primary that ignores its lease, when only the lease keeps it from writing", async () => {
    const mutation: Mutation = {
      failover: true,
      favourite: "the primary is partitioned from all others",
      shape: { ack: 0 },
    };
    const valid = { problem: { get: () => undefined, configurable: true } };
    await changed(Leadership.prototype, valid, () => expectFound(mutation, /two primaries at once/));
  }, 600_000);

  test("a vote that promises nothing", async () => {
    const forgetful = { grant: { value: () => {}, configurable: true } };
    const mutation: Mutation = { favourite: unseen, shape: withVotes };
    await changed(Votes.prototype, forgetful, () => expectFound(mutation, /was acknowledged by 1 edges/));
  }, 600_000);

  test("a vote that is forgotten at a restart", async () => {
    const starting = (directory: string): void => rmSync(join(directory, "pledge"), { force: true });
    await expectFound({ favourite: unseen, shape: withVotes, starting }, /was acknowledged by 1 edges/);
  }, 600_000);

  test("a vote for two candidates", async () => {
    const { grant: give } = Votes.prototype;
    const generous = {
      value(this: Votes, request: Parameters<Votes["grant"]>[0]): void {
        give.call(this, { ...request, force: true });
      },
      configurable: true,
    };
    const mutation: Mutation = {
      favourite: "two edges that do not reach each other are promoted together with common voters",
      shape: { ack: 0 },
    };
    await changed(Votes.prototype, { grant: generous }, () =>
      expectFound(mutation, /both promoted with the same votes/),
    );
  }, 600_000);

  test("terms from clocks, so that a clock that was wrong once prevents later promotions", async () => {
    await expectFound(termsOfClocks, /can't be promoted with all well: 409 .*does not come after the current one/);
  }, 600_000);

  test("a read that waits for the silent event stream and does not ask the primary", async () => {
    const mutation: Mutation = { favourite: "only the brokers are down", shape: { ack: 0 } };
    const patient = { requestCatchUp: { value: () => {}, configurable: true } };
    await changed(ReplicaLoop.prototype, patient, () => expectFound(mutation, /although only brokers are down/));
  }, 600_000);

  test("a primary that starts on a copy of another's directory without asking for other primaries", async () => {
    const mutation: Mutation = { favourite: "a copy of the primary's directory is started and reaches all others" };
    await withoutSearch(() => expectFound(mutation, /acknowledges writes beside it|gave way to a copy of itself/));
  }, 600_000);

  test("a primary on a copy of another's directory that ignores which primary the replicas have", async () => {
    const mutation: Mutation = {
      favourite: "a copy of the primary's directory is started in a partition that then heals",
    };
    const blind = { onPrimaryHeads: { value: () => {}, configurable: true } };
    await changed(twins.DuplicatePrimaryMonitor.prototype, blind, () =>
      expectFound(mutation, /stays a primary beside it/),
    );
  }, 600_000);

  test("a replica that never tries a failed catch-up again", async () => {
    await ignoring("retryDue", () => expectFound({}, /no peace/));
  }, 600_000);

  test("a replica that continues to answer from a damaged database", async () => {
    const mutation: Mutation = { favourite: "bits flip in the file of a running node" };
    await ignoring("distrusted", () => expectFound(mutation, /which is right at none of/));
  }, 600_000);
});
