/** What makes a primary stop writing: positions of other nodes, and heads of other processes of its own node. */
import { expect, test } from "bun:test";
import { Cluster, withDirectory } from "./cluster.ts";
import { DuplicatePrimaryMonitor, findPrimaries } from "../../src/replication/failover/duplicate-primary.ts";
import { Fence, type FenceReason, type ObservedPosition } from "../../src/replication/failover/fence.ts";
import { createSuccessorDetector } from "../../src/replication/failover/successor-detector.ts";
import { wasReplaced } from "../../src/replication/role-notes.ts";
import { StorageStatus } from "../../src/replication/storage-status.ts";
import type { NodeHead } from "../../src/replication/transport/messages.ts";
import type { Peers } from "../../src/replication/transport/peers.ts";
import { realClusterSystem } from "../../src/roles/cluster-system.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState, type StoreState } from "../../src/store/log/store-state.ts";
import { firstTerm, nextFailoverTerm, nextStartTerm } from "../../src/store/log/terms.ts";
import { systemClock } from "../../src/util/clock.ts";

const term = nextStartTerm(firstTerm);
const own = { epoch: "bbbbbbbbbbbbbbbb", term, offset: 10 };
const earlierStart = { epoch: "aaaaaaaaaaaaaaaa", term: firstTerm, offset: 8 };
const laterStart = { epoch: "cccccccccccccccc", term: nextStartTerm(term), offset: 10 };
const sameStart = { ...laterStart, term };
const successor = { epoch: "dddddddddddddddd", term: nextFailoverTerm(term), offset: 9 };
const ahead = { ...own, offset: 11 };
const history = "0123456789abcdef";

const headOf = ({ epoch, term: n, offset }: ObservedPosition, more: Partial<NodeHead> = {}): NodeHead => ({
  ...{ v: 1, s: "test", t: 0, e: epoch, n, l: offset, h: history, d: history, trim: 0, f: history, from: [0, history] },
  ...{ role: "primary", ack: false, a: 0, epochs: [] },
  ...more,
});

const peersWith = (...heads: readonly NodeHead[]): Peers =>
  ({
    heads: () => Promise.resolve(heads.map((head) => ({ url: "", head }))),
    livePrimaries: () => Promise.resolve(heads),
  }) as Partial<Peers> as Peers;

interface Fenced {
  readonly state: () => StoreState;
  readonly fence: Fence;
  readonly reasons: (FenceReason | ObservedPosition)[];
  readonly directory: string;
}

async function withFence(body: (fenced: Fenced) => Promise<void> | void): Promise<void> {
  await withDirectory(async (directory) => {
    const store = openStore(":memory:");
    const created = createState(store, "test", own.epoch, own.term);
    const state = (): StoreState => ({ ...created, ...own });
    const reasons: Fenced["reasons"] = [];
    const storage = new StorageStatus();
    const onFenced = (reason: FenceReason, lacking?: ObservedPosition) =>
      void reasons.push(reason, ...(lacking ? [lacking] : []));
    const fence = new Fence({ directory, canFollow: true, store, state, storage, onFenced });
    await body({ state, fence, reasons, directory });
    store.close();
  });
}

/** What happens at the position of another node: why the primary is fenced, or the term after which it begins one. */
const seen = (
  position: ObservedPosition,
  from: "peer" | "broker",
  peers?: Peers,
  ack = 0,
): Promise<readonly unknown[]> => {
  const results: unknown[] = [];
  return withFence(({ fence, state, reasons }) => {
    const beginAfter = (after: number) => void results.push(after);
    const options = { peers, fence, state, ack, beginAfter, intervalMs: 1, clock: systemClock };
    const detector = createSuccessorDetector(options);
    (from === "peer" ? detector.onPeerPosition : detector.onBrokerPosition)(position);
    results.push(...reasons);
  }).then(() => results);
};

test("a position of a successor fences the primary, and what it may have lost makes it step down", async () => {
  const peers = peersWith();
  for (const some of [peers, undefined])
    for (const from of ["peer", "broker"] as const) {
      for (const position of [own, earlierStart, { ...own, offset: 9 }])
        expect([position, await seen(position, from, some)]).toEqual([position, []]);
      expect(await seen(successor, from, some)).toEqual(["replaced"]);
    }
  for (const position of [ahead, laterStart, sameStart]) {
    expect(await seen(position, "peer", peers)).toEqual(["behind", position]);
    expect(await seen(position, "broker", peers)).toEqual(["behind"]);
    expect(await seen(position, "peer", undefined, 1)).toEqual(["replaced"]);
    expect(await seen(position, "peer", undefined)).toEqual([position.term]);
  }
});

test("a primary that asks its peers notices its successor before it considers itself behind, and notes it", () =>
  withFence(async ({ fence, state, reasons, directory }) => {
    const peers = peersWith(headOf(ahead), headOf(successor), headOf(laterStart));
    const options = { peers, fence, state, ack: 1, beginAfter: () => {}, intervalMs: 1, clock: systemClock };
    await createSuccessorDetector(options).askPeers();
    expect(reasons).toEqual(["replaced"]);
    expect(fence.problem).toBe("another primary has taken over");
    expect(wasReplaced(directory)).toBe(true);
  }));

test("of two processes of one node the one that was started later is fenced", async () => {
  const live = { node: "a", i: "1111111111111111" };
  for (const [head, isFenced] of [
    [headOf(earlierStart, live), true],
    [headOf(earlierStart, { ...live, node: "b" }), false],
    [headOf(earlierStart, { ...live, i: "2222222222222222" }), false],
    [headOf(earlierStart, { node: "a" }), false],
    [headOf(laterStart, live), false],
    [headOf({ ...earlierStart, term: 1 }, live), false],
  ] as const)
    await withFence(({ fence, state }) => {
      new DuplicatePrimaryMonitor({ id: "a", instance: "2222222222222222", state, fence }).onPrimaryHeads([head]);
      expect([head, fence.isFenced]).toEqual([head, isFenced]);
    });
});

test("a start finds a primary of the same or a later epoch, and is refused beside another process of its node", () =>
  withFence(async ({ state, directory }) => {
    const config = new Cluster(directory, {}).config("primary", "a", {});
    const found = (head: NodeHead) =>
      findPrimaries({
        ...{ config, id: "a", peers: peersWith(head), state, history, nodeKeyHashes: [history] },
        system: realClusterSystem,
      });
    for (const position of [own, laterStart, successor])
      expect((await found(headOf(position, { node: "b" }))).primary?.term).toBe(position.term);
    for (const head of [headOf(earlierStart, { node: "b" }), headOf(successor, { f: "0000000000000000" })])
      expect((await found(head)).primary).toBeUndefined();
    for (const position of [own, earlierStart, laterStart])
      await expect(found(headOf(position, { node: "a" }))).rejects.toThrow("is the primary of the same data");
  }));
