/**
 * What makes a primary stop writing: positions of other nodes, heads of other processes of its own node, a lost lease,
 * and what it has noted before.
 */
import { describe, expect, test } from "bun:test";
import { defaultLimits } from "../../src/config/limits.ts";
import { ask, createEnvironment } from "../environments/host.ts";
import { openHostileBroker } from "../hostile/hostile-broker.ts";
import { adminKey, Cluster, eventually, nodeKey, withCluster, withDirectory } from "./cluster.ts";
import { DuplicatePrimaryMonitor, findPrimaries } from "../../src/replication/failover/duplicate-primary.ts";
import { Fence, type FenceReason, type ObservedPosition } from "../../src/replication/failover/fence.ts";
import { createSuccessorDetector } from "../../src/replication/failover/successor-detector.ts";
import { LeaseLeadership } from "../../src/replication/failover/lease-leadership.ts";
import { type Lease, LeaseLostError } from "../../src/replication/lease/lease.ts";
import { noteReplaced, wasReplaced } from "../../src/replication/role-notes.ts";
import { StorageStatus } from "../../src/store/directory/storage-status.ts";
import type { NodeHead } from "../../src/replication/transport/messages.ts";
import { createMessageMac } from "../../src/replication/transport/message-mac.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { Votes } from "../../src/replication/failover/votes.ts";
import { startAlone } from "../../src/roles/node-parts.ts";
import { startPrimary } from "../../src/roles/primary.ts";
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
    const promiseTerm = (term: number): void => new Votes(directory).promiseTerm(term);
    const fence = new Fence({ directory, canFollow: true, store, state, storage, promiseTerm, onFenced });
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
    const options = { peers, fence, state, ack, beginAfter };
    const detector = createSuccessorDetector({ limits: defaultLimits, clock: systemClock }, options);
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
    const options = { peers, fence, state, ack: 1, beginAfter: () => {} };
    await createSuccessorDetector({ limits: defaultLimits, clock: systemClock }, options).askPeers();
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
      new DuplicatePrimaryMonitor("a", "2222222222222222", state, fence).onPrimaryHeads([head]);
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

describe("a primary at a broker is fenced", () => {
  test.each([
    ["by the head of a successor", (head: NodeHead) => ({ ...head, e: successor.epoch, n: nextFailoverTerm(head.n) })],
    ["by a later head of its own epoch, when its client id was taken", (head: NodeHead) => ({ ...head, q: 2 ** 40 })],
  ])("%s", (name, changed) =>
    withCluster(async (cluster) => {
      await using broker = await openHostileBroker();
      const { url, node } = await cluster.primary({ broker: broker.url });
      await eventually(() => expect(broker.published).not.toEqual([]));
      const answer = await fetch(`${url}/replication/v1/head`, { headers: { Authorization: `Bearer ${nodeKey}` } });
      const { head: topic } = topicsOf("ostiary/v1", "test");
      const head = JSON.stringify(changed({ ...((await answer.json()) as NodeHead), node: "b", i: history }));
      const payload = Buffer.from(createMessageMac([hashKey(nodeKey)]).sign(topic, head));
      if (name.includes("client id")) broker.takeAway("");
      await eventually(() => {
        broker.send({ topic, payload });
        expect(node.health().state).toBe("FENCED");
      });
    }),
  );
});

test("a primary that has lost its lease is fenced", () =>
  withDirectory(async (directory) => {
    const record = { term: 3, node: "a", token: "t", hasHistory: true };
    const lease: Lease = {
      service: "the test's service",
      acquire: () => Promise.resolve(undefined),
      renew: () => Promise.reject(new LeaseLostError("node b has it")),
      release: () => Promise.resolve(),
      holder: () => Promise.resolve(undefined),
      close() {},
    };
    const clock = systemClock;
    const leadership = new LeaseLeadership(lease, 60_000, clock, record, clock.monotonicMs());
    const config = new Cluster(directory, {}).config("primary", "a", { adminKey });
    const node = await startAlone(config, (parts) => startPrimary(parts, config, { leadership }));
    await eventually(() => expect(node.health().state).toBe("FENCED"));
    await node.stop();
  }));

test("the hosted environments of a primary that was replaced are fenced, also those that were not running then", () =>
  withCluster(async (cluster) => {
    const first = await cluster.host("primary", "primary");
    const key = await createEnvironment(first, "lab");
    await first.stop();
    noteReplaced(first.data);
    const again = await cluster.host("primary", "primary");
    await eventually(async () => {
      const { status, text } = await ask(again, key, "POST", "/api/batch", []);
      expect([status, text]).toEqual([503, expect.stringContaining("another primary has taken over")]);
    });
  }));
