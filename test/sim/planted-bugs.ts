/** The bugs (mutations) that tests put into the program under test. The simulation must find each of them. */
import { Database } from "bun:sqlite";
import { expect, mock } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { LeaseLeadership } from "../../src/replication/failover/lease-leadership.ts";
import type { NodeHead } from "../../src/replication/transport/messages.ts";
import { ReplicaLoop } from "../../src/replication/replica/replica-loop.ts";
import type { ReplicaInput } from "../../src/replication/replica/replica-state.ts";
import * as nodeState from "../../src/roles/node-state.ts";
import * as replicaState from "../../src/replication/replica/replica-state.ts";
import { Freshness } from "../../src/replication/replica/freshness.ts";
import { Fence } from "../../src/replication/failover/fence.ts";
import { Votes } from "../../src/replication/failover/votes.ts";
import { StartTerm } from "../../src/replication/failover/start-term.ts";
import type * as roleNotes from "../../src/replication/role-notes.ts";
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

export interface PlantedBug {
  readonly name: string;
  /** Whether it is one of the strongest, and is found soon. */
  readonly isQuick?: true;
  readonly mutation: Mutation;
  /** The violation that shows it. Other violations that it causes do not count. */
  readonly shows: RegExp;
  /** A seed that found it before, which saves time. */
  readonly seed?: number;
  /** Runs `body` while code outside of the simulation is changed. */
  readonly during?: Change;
}

type AnyState = nodeState.NodeState<unknown>;
type AnyInput = nodeState.NodeInput<unknown>;
type AnyTransition = nodeState.NodeTransition<unknown>;
type Change = (body: () => Promise<void>) => Promise<void>;

/** A bug shows by chance. It must show within so many seeds. */
const seedsMax = 40;

/** The violation that shows the bug; otherwise the last other one. */
export async function findBug({ mutation, shows, seed = 1, during = (body) => body() }: PlantedBug): Promise<string> {
  let message = "nothing was found";
  await during(async () => {
    for (const each of new Set([seed, ...Array.from({ length: seedsMax }, (_, index) => index + 1)])) {
      const { failure } = await runSeed(each, { failover: false, ...mutation });
      message = failure?.message ?? message;
      if (!shows.test(message)) continue;
      console.log(`found with seed ${each}`);
      return;
    }
  });
  return message;
}

/** Runs `body` while members of a class are replaced. A mutation of a member that the class does not have is an error. */
function changed<C extends object>(prototype: C, members: { readonly [Name in keyof C]?: PropertyDescriptor }): Change {
  return async (body) => {
    const own = Object.getOwnPropertyDescriptors(prototype);
    for (const name of Object.keys(members)) expect(Object.keys(own)).toContain(name);
    Object.defineProperties(prototype, members as PropertyDescriptorMap);
    try {
      await body();
    } finally {
      Object.defineProperties(prototype, own);
    }
  };
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
function withExports<M extends object>(path: string, exports: Partial<M>): Change {
  return async (body) => {
    const own = { ...((await import(path)) as M) };
    for (const name of Object.keys(exports)) expect(Object.keys(own)).toContain(name);
    await mock.module(path, () => ({ ...own, ...exports }));
    try {
      await body();
    } finally {
      await mock.module(path, () => own);
    }
  };
}

/** Runs `body` while a primary starts without a look at other processes of its node. */
function withoutSearch(): Change {
  const findPrimaries = (): Promise<twins.FoundPrimaries> => Promise.resolve({ retained: [], primary: undefined });
  return withExports<typeof twins>("../../src/replication/failover/duplicate-primary.ts", { findPrimaries });
}

/** Runs `body` while replicas ignore an input of their state machine. */
function ignoring(type: ReplicaInput["type"]): Change {
  const { transition } = { ...replicaState };
  const ignorant: typeof transition = (state, input) =>
    input.type === type ? { state, commands: [] } : transition(state, input);
  return withExports<typeof replicaState>("../../src/replication/replica/replica-state.ts", { transition: ignorant });
}

/** Runs `body` while the state machine of a node makes other transitions. */
function changing(change: (made: AnyTransition, state: AnyState, input: AnyInput) => AnyTransition): Change {
  const { transition } = { ...nodeState };
  const changed = (state: AnyState, input: AnyInput): AnyTransition => change(transition(state, input), state, input);
  return withExports<typeof nodeState>("../../src/roles/node-state.ts", { transition: changed as typeof transition });
}

/** Runs `body` while a node ignores commands of its state machine. */
function without(isIgnored: (command: AnyTransition["commands"][number], state: AnyState) => boolean): Change {
  return changing(({ state, commands }, before) => ({
    state,
    commands: commands.filter((command) => !isIgnored(command, before)),
  }));
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

const { grant: give } = Votes.prototype;

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: "an edge that loses a fact while it applies an event",
    isQuick: true,
    mutation: {
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
    },
    shows: /which is right at none of/,
    seed: 6,
  },
  {
    name: "a write that is done twice",
    isQuick: true,
    mutation: {
      writer: (_owner, commands) => ({
        ...commands,
        write: (request, { traceparent }) => commands.write(request, { traceparent }),
      }),
    },
    shows: /did a request again|where it was not done|was answered with/,
    seed: 19,
  },
  {
    name: "a response that does not wait for its token",
    isQuick: true,
    mutation: {
      serve(process, request, serve) {
        if (process.role !== "edge" || !request.headers.has("osooffset")) return undefined;
        const stripped = new Request(request);
        stripped.headers.delete("osooffset");
        return Promise.resolve(serve(stripped));
      },
    },
    shows: /the token says/,
  },
  {
    name: "an acknowledged write that was not on the disk",
    mutation: { forgetfulDisks: true, favourite: powerCut, shape: withVotes },
    shows: /is gone|is lost|the token says|no policy is loaded yet/,
  },
  {
    name: "a write that is acknowledged although its commit failed",
    isQuick: true,
    mutation: {
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
    },
    shows: /where it was not done|no such row/,
    seed: 3,
  },
  {
    name: "a node that ends when a timer fails on a full disk",
    mutation: {
      fragileTimer: ({ directory }) =>
        writeNodeFile(directory, "position", readNodeFile(directory, "position") ?? "-:0"),
    },
    shows: /ends, since a timer failed/,
    seed: 4,
  },
  {
    name: "a database that is rejected because of a failing disk",
    mutation: {
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
    },
    shows: /takes a sound database for a damaged one/,
  },
  {
    name: "a write that is acknowledged before enough edges have it",
    mutation: { impatient: true },
    shows: /was acknowledged by/,
    seed: 6,
  },
  {
    name: "an edge that counts for an acknowledgement before it is on its disk",
    mutation: { hastyEdges: true, favourite: powerCut, shape: withVotes },
    shows: /was acknowledged by|is gone, without a trace/,
  },
  {
    name: "a read of the latest state that does not wait",
    mutation: {
      serve(process, request, serve) {
        if (process.role !== "edge" || !request.headers.has("ostiary-consistency")) return undefined;
        const stripped = new Request(request);
        stripped.headers.delete("ostiary-consistency");
        return Promise.resolve(serve(stripped));
      },
    },
    shows: /answers the latest from/,
  },
  {
    name: "a position that is used twice, because a start begins no term",
    mutation: { favourite: "an old backup is restored" },
    shows: /a position that was used before|the token says/,
    seed: 5,
    during: changed(StartTerm.prototype, {
      isBegun: { get: () => true, configurable: true },
      begin: { value: async () => {}, configurable: true },
    }),
  },
  {
    name: "a primary with an old directory that stays an edge after it has stepped down",
    mutation: { favourite: "an old backup is restored" },
    shows: /nobody is the primary/,
    seed: 51,
    // As if it were replaced for good.
    during: changed(Fence.prototype, {
      stepDown: {
        value(this: Fence): void {
          this.fence("its data directory is not the newest");
        },
        configurable: true,
      },
    }),
  },
  {
    name: "a start that counts as a failover, so that a primary with an old directory deposes its successor",
    mutation: startsAreFailovers,
    shows: /was acknowledged by|is gone, without a trace|no peace/,
    seed: 14,
  },
  {
    name: "a primary that does not step down for its successor",
    mutation: { failover: false },
    shows: /no peace|was acknowledged by/,
    during: changed(Fence.prototype, {
      onEpoch: { value: () => {}, configurable: true },
      fence: { value: () => {}, configurable: true },
    }),
  },
  {
    name: "a former primary that forgets its successor when it is started",
    mutation: {
      failover: false,
      favourite: "a former primary that has followed its successor starts as a primary, and its successor ends",
    },
    shows: /although it knew its successor/,
    seed: 2,
    during: withExports<typeof roleNotes>("../../src/replication/role-notes.ts", {
      claimOf: () => "asks",
      wasReplaced: () => false,
    }),
  },
  {
    name: "a replayed head that counts as fresh",
    mutation: {},
    shows: /its copy is too old/,
    seed: 2,
    // As if heads had no sequence numbers, and no confirmation were needed.
    during: changed(Freshness.prototype, {
      classify: { value: (_head: unknown, retained: boolean) => (retained ? "hint" : "newer"), configurable: true },
      confirmedMsAgo: { get: () => 0, configurable: true },
    }),
  },
  {
    name: "flipped bits in a database in use whose pages are not compared with their checksums",
    isQuick: true,
    mutation: { favourite: "bits flip in the file of a running node" },
    shows: /which is right at none of/,
    // The pass ends immediately.
    during: changed(PageChecksums.prototype, { check: { value: () => 1, configurable: true } }),
  },
  {
    name: "a token that is refused although its write is there",
    mutation: {
      serve(_process, request) {
        if (!request.headers.has("osooffset")) return undefined;
        return Promise.resolve(Response.json({ message: "lost" }, { status: 409 }));
      },
    },
    shows: /is lost, which it has/,
  },
  {
    name: "a primary that confirms replicas although it may have been replaced",
    isQuick: true,
    mutation: assuredHeads,
    shows: /answers the latest from|its copy is too old/,
    seed: 2,
  },
  {
    name: "a primary that ignores its lease, when only the lease keeps it from writing",
    mutation: {
      failover: true,
      favourite: "the primary is partitioned from all others",
      shape: { ack: 0 },
    },
    shows: /two primaries at once/,
    during: changed(LeaseLeadership.prototype, { problem: { get: () => undefined, configurable: true } }),
  },
  {
    name: "a vote that promises nothing",
    mutation: { favourite: unseen, shape: withVotes },
    shows: /was acknowledged by 1 edges/,
    during: changed(Votes.prototype, { grant: { value: () => {}, configurable: true } }),
  },
  {
    name: "a vote that is forgotten at a restart",
    mutation: {
      favourite: unseen,
      shape: withVotes,
      starting: (directory: string): void => rmSync(join(directory, "pledge"), { force: true }),
    },
    shows: /was acknowledged by 1 edges/,
  },
  {
    name: "a vote for two candidates",
    isQuick: true,
    mutation: {
      favourite: "two edges that do not reach each other are promoted together with common voters",
      shape: { ack: 0 },
    },
    shows: /both promoted with the same votes/,
    seed: 2,
    during: changed(Votes.prototype, {
      grant: {
        value(this: Votes, request: Parameters<Votes["grant"]>[0]): void {
          give.call(this, { ...request, force: true });
        },
        configurable: true,
      },
    }),
  },
  {
    name: "terms from clocks, so that a clock that was wrong once prevents later promotions",
    mutation: termsOfClocks,
    shows: /can't be promoted with all well: 409 .*does not come after the current one/,
    seed: 4,
  },
  {
    name: "a read that waits for the silent event stream and does not ask the primary",
    mutation: { favourite: "only the brokers are down", shape: { ack: 0 } },
    shows: /although only brokers are down/,
    during: changed(ReplicaLoop.prototype, { requestCatchUp: { value: () => {}, configurable: true } }),
  },
  {
    name: "a primary that starts on a copy of another's directory without asking for other primaries",
    isQuick: true,
    mutation: { favourite: "a copy of the primary's directory is started and reaches all others" },
    shows: /acknowledges writes beside it|gave way to a copy of itself/,
    during: withoutSearch(),
  },
  {
    name: "a primary on a copy of another's directory that ignores which primary the replicas have",
    mutation: {
      favourite: "a copy of the primary's directory is started in a partition that then heals",
    },
    shows: /stays a primary beside it/,
    during: changed(twins.DuplicatePrimaryMonitor.prototype, {
      onPrimaryHeads: { value: () => {}, configurable: true },
    }),
  },
  {
    name: "a primary that forgets that it was fenced while it started",
    mutation: { favourite: "an old backup is restored" },
    shows: /nobody is the primary/,
    seed: 4,
    during: changing((made, state, { type }) =>
      type === "fenced" && state.name !== "primary" ? { state, commands: [] } : made,
    ),
  },
  {
    name: "a primary with an old directory that does not ask for the votes of its peers after it has stepped down",
    mutation: { favourite: "an old backup is restored" },
    shows: /nobody is the primary/,
    seed: 51,
    during: without(({ type }) => type === "reclaim"),
  },
  {
    name: "a promoted node whose requests wait for the edge that has ended",
    isQuick: true,
    mutation: { favourite: "an edge is promoted over a dead primary" },
    shows: /nobody is the primary/,
    during: without(({ type }, { name }) => type === "serve" && name === "promoting"),
  },
  {
    name: "a promoted node that starts as the primary without the term that it has won",
    mutation: { favourite: "an edge is promoted over a dead primary" },
    shows: /nobody is the primary/,
    during: changing(({ state, commands }) => ({
      state,
      commands: commands.map((command) => (command.type === "start" ? { ...command, promotion: undefined } : command)),
    })),
  },
  {
    name: "a primary that steps down and starts no edge",
    isQuick: true,
    mutation: { favourite: "an edge is promoted over a living primary" },
    shows: /no peace/,
    during: without(({ type }, { name }) => type === "start" && name !== "edge" && name !== "steppingDown"),
  },
  {
    name: "a replica that never tries a failed catch-up again",
    mutation: {},
    shows: /no peace/,
    during: ignoring("retryDue"),
  },
  {
    name: "a replica that continues to answer from a damaged database",
    mutation: { favourite: "bits flip in the file of a running node" },
    shows: /which is right at none of/,
    during: ignoring("distrusted"),
  },
];
