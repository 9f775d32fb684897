/**
 * The messages between nodes of each release, with today's code: every message is understood, and an edge of today
 * follows a recorded primary with its snapshot, its log and its messages. The same with members that today's code does
 * not know, since later releases may add some.
 */
import { createHash } from "node:crypto";
import { describe, expect, test } from "bun:test";
import { decodeEffect } from "../../src/log/event/event.ts";
import { parseRecord } from "../../src/replication/lease/lease.ts";
import {
  decodeBatch,
  decodeHead,
  decodeNodeHead,
  decodePage,
  decodeRefusal,
  decodeStatus,
  type DecodedMessage,
  type Head,
} from "../../src/replication/transport/messages.ts";
import { createMessageMac } from "../../src/replication/transport/message-mac.ts";
import { chainHash } from "../../src/log/event/position.ts";
import { currentStorePath } from "../../src/store/directory/data-directory.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { openLog } from "../../src/store/log/log.ts";
import { advanceState, readState } from "../../src/store/log/store-state.ts";
import { decodeHeader, readHeader } from "../../src/store/snapshot/snapshot-header.ts";
import { hashKey } from "../../src/store/keys/api-keys.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { must } from "../../src/util/assert.ts";
import { converged, eventually, insert, loadPolicy, mayRead, positionOf, withCluster } from "../replication/cluster.ts";
import { OpenBroker } from "./open-broker.ts";
import { RecordedPrimary } from "./recorded-primary.ts";
import {
  readRelease,
  readReplication,
  recordedFile,
  recordedVersions,
  type BrokerMessage,
  type Release,
} from "./recorded.ts";
import { firstRelease } from "./release-program.ts";
import { withRelease } from "./with-release.ts";

const versions = recordedVersions();
const timeoutMs = 60_000;

const macOf = ({ nodeKey }: Release) => createMessageMac([hashKey(nodeKey)]);
const kindOf = ({ topic }: BrokerMessage): string => topic.split("/")[3] ?? "";
const payloadOf = ({ payload }: BrokerMessage): Uint8Array => Buffer.from(payload);

function messageOf<T>(decoded: DecodedMessage<T>): T {
  if ("problem" in decoded) throw new Error(decoded.problem);
  return decoded.message;
}

/** Adds a member to a JSON object and to the head in it. */
function withMore(body: string): string {
  const { head, ...rest } = JSON.parse(body) as { head?: object };
  const more = { "added later": { a: [1, "two"] } };
  return JSON.stringify({ ...rest, ...(head === undefined ? {} : { head: { ...head, ...more } }), ...more });
}

/** Adds a member to a message at a broker, as a primary with the node key would send it. */
function authenticatedWithMore(message: BrokerMessage, release: Release): BrokerMessage {
  const { m: _seal, ...content } = JSON.parse(message.payload) as { m: string };
  const payload = macOf(release).sign(message.topic, withMore(JSON.stringify(content)));
  return { ...message, payload };
}

describe.each(versions)("the messages of %s", (version) => {
  const release = readRelease(version);
  const { before, after, messages, promotedHead, refusals } = readReplication(version);
  const changes = {
    "as they were": { body: (body: string) => body, message: (message: BrokerMessage) => message },
    "with more in them": {
      body: withMore,
      message: (message: BrokerMessage) => authenticatedWithMore(message, release),
    },
  };

  test.each(Object.entries(changes))("%s: are authentic and understood", (_, { body, message }) => {
    const decode = { ev: decodeBatch, next: decodeBatch, head: decodeHead, node: decodeStatus };
    const seen = new Set<string>();
    for (const changed of [...messages, promotedHead].map(message)) {
      const kind = kindOf(changed);
      seen.add(kind);
      expect(macOf(release).verify(changed.topic, payloadOf(changed))).toBe(true);
      expect(decode[kind as keyof typeof decode](payloadOf(changed))).toHaveProperty("message");
    }
    // Later releases announce an event only at the embedded broker, which is not recorded.
    expect(seen.delete("next")).toBe(version === firstRelease);
    expect([...seen].toSorted()).toEqual(["ev", "head", "node"]);
    for (const { head, pages } of [before, after]) {
      expect(decodeNodeHead(body(head))).toHaveProperty("message");
      for (const page of Object.values(pages)) expect(decodePage(body(page))).toHaveProperty("message");
    }
    expect(refusals.map((refused) => messageOf(decodeRefusal(body(refused.body))).code)).toEqual(["epoch", "trimmed"]);
  });

  test("name the content of large events, and the promoted edge", () => {
    const batches = messages.filter((message) => kindOf(message) === "ev").map((message) => message.payload);
    const bodies = batches.flatMap((payload) => messageOf(decodeBatch(payload)).ev.map(([, , , body]) => typeof body));
    expect(bodies.filter((type) => type === "object")).toHaveLength(1);
    const head = messageOf(decodeHead(promotedHead.payload));
    expect(head).toMatchObject({ e: release.epoch, n: release.term, role: "primary" });
    const statuses = messages.filter((message) => kindOf(message) === "node").map(payloadOf);
    expect(messageOf(decodeStatus(must(statuses.at(-1)))).offset).toBe(headOf(after.head).l);
  });

  test("the manifest of a snapshot is understood, also with more members", () => {
    const { manifest } = readHeader(recordedFile(version, "all.snapshot"));
    expect(manifest).toMatchObject({ epoch: release.epoch, offset: release.offset, digest: release.digest });
    const line = withMore(JSON.stringify(manifest));
    const content = Buffer.from(`${line}\n${createHash("sha256").update(line).digest("hex")}\n`);
    const header = Buffer.alloc(8);
    header.writeUInt32LE(0x184d2a50, 0);
    header.writeUInt32LE(content.length, 4);
    expect(decodeHeader(Buffer.concat([header, content]))?.manifest).toEqual(manifest);
  });

  test.each(Object.entries(changes))(
    "%s: an edge follows them",
    (_, { body, message }) =>
      withRelease(version, async (cluster) => {
        const primary = new RecordedPrimary(version, body);
        const broker = await OpenBroker.start();
        try {
          const [retained, ...published] = messages.filter((each) => kindOf(each) !== "node").map(message);
          await broker.publish(must(retained));
          const flags = { broker: broker.url, brokerUsername: "edge", brokerPassword: "recorded" };
          const { node } = await cluster.edge("edge", primary, flags);
          const stands = (head: Pick<Head, "e" | "l" | "d">): Promise<void> =>
            eventually(() => expect(positionOf(node)).toEqual({ epoch: head.e, offset: head.l, digest: head.d }));
          await stands(headOf(before.head));
          const { topic } = must(published.find((each) => kindOf(each) === "ev"));
          await eventually(() => expect([...broker.subscribed]).toContain(topic));

          // Only the broker delivers events until the one that is too large for it.
          primary.serves = undefined;
          const refusedBefore = await refusedMessages();
          const large = published.findIndex(({ payload }) => payload.includes('{"ref":'));
          for (const each of published.slice(0, large)) await broker.publish(each);
          const batch = messageOf(decodeBatch(must(published[large]).payload));
          await eventually(() => expect(node.health().offset).toBe(batch.p));
          primary.serves = after;
          for (const each of published.slice(large)) await broker.publish(each);
          await stands(headOf(after.head));
          expect(await refusedMessages()).toBe(refusedBefore);
        } finally {
          await cluster.stop();
          await broker.close();
          await primary.close();
        }
      }),
    timeoutMs,
  );
});

const headOf = (body: string): Head => messageOf(decodeNodeHead(body));

async function refusedMessages(): Promise<number> {
  const { values } = await metrics.brokerMessagesRejected.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

test("the record of a lease is understood with more members", () => {
  const record = { term: 1, node: "a", token: "b", hasHistory: true, released: false, renewal: "c", ttlMs: 6000 };
  expect(parseRecord(withMore(JSON.stringify(record)), "etcd")).toEqual(record);
});

describe("messages that an older version must not ignore are refused", () => {
  const facts = { kind: "facts", inserted: [], deleted: [] };

  test.each([
    ["another kind", { kind: "facts of a later release" }],
    ["another member", { ...facts, unless: [] }],
  ])("an event with %s", (_, effect) => {
    expect(() => decodeEffect(JSON.stringify(facts))).not.toThrow();
    expect(() => decodeEffect(JSON.stringify(effect))).toThrow("not understood");
  });

  test("a row of the log with more than five values, and a message of another version", () => {
    const hash = "0123456789abcdef";
    const batch = { v: 1, s: "default", e: hash, n: 1, t: 1, p: 0, l: 1, h: hash, d: hash };
    const row = [1, 1, "facts", JSON.stringify(facts), null];
    expect(decodeBatch(JSON.stringify({ ...batch, ev: [row] }))).toHaveProperty("message");
    expect(decodeBatch(JSON.stringify({ ...batch, ev: [[...row, "more"]] }))).toHaveProperty("problem");
    expect(decodeBatch(JSON.stringify({ ...batch, v: 2, ev: [row] }))).toHaveProperty("problem");
  });

  test("so an edge that gets one takes a snapshot instead", () =>
    withCluster(async (cluster) => {
      const before = await cluster.primary();
      await loadPolicy(before.node);
      await insert(before.node, "ann");
      const followed = await cluster.edge("edge", before);
      await converged(followed.node, before.node);
      await followed.stop();
      await before.stop();
      appendUnknownEvent(must(currentStorePath(before.data)));

      const primary = await cluster.primary();
      await insert(primary.node, "bob");
      const { node, data } = await cluster.edge("edge", primary);
      await converged(node, primary.node);
      expect(currentStorePath(data)).toEndWith("store-2.db");
      expect([mayRead(node, "ann"), mayRead(node, "bob"), mayRead(node, "eve")]).toEqual([true, true, false]);
    }));
});

/**
 * What a later release could write: an event of a kind that today's code does not know, which does not change the
 * state.
 */
function appendUnknownEvent(path: string): void {
  const store = openStore(path);
  store.transaction(() => {
    const { offset, hash, timeMs, digest } = readState(store);
    const body = JSON.stringify({ kind: "of a later release" });
    const row = { offset: offset + 1, timeMs, kind: "of a later release", body, traceparent: null };
    const next = { ...row, hash: chainHash(hash, row), digest };
    openLog(store).append(next);
    advanceState(store, next);
  }, "immediate");
  store.close();
}
