/** The publisher, over the database of a real writer, with a broker that acknowledges when the test wants it. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { CommitTimes } from "../../src/log/reader/commit-times.ts";
import type { StateChange } from "../../src/log/writer/store-writer.ts";
import { Writer } from "../../src/log/writer/writer.ts";
import { decodeBatch } from "../../src/replication/transport/messages.ts";
import { Publisher } from "../../src/replication/transport/publisher.ts";
import { topicsOf } from "../../src/replication/transport/topics.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import { eventually, policy, reader, untraced, withDirectory } from "./cluster.ts";
import { realSystem } from "../../src/replication/system.ts";

test("events are published with the times of their commits, also those that are committed while others are sent", () =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    const writer = new Writer({ environment: "test", synchronous: "FULL", limits: defaultLimits }, realSystem);
    await writer.open(path);
    const store = openStore(path, { readonly: true });
    try {
      await writer.write({ kind: "policy", source: policy, filename: "policy.polar", force: false }, untraced);
      const sent: { readonly message: string; readonly acknowledge: () => void }[] = [];
      const commitTimes = new CommitTimes(writer.state.offset);
      const context = { limits: defaultLimits, clock: systemClock };
      const publisher = new Publisher(context, {
        ...{ store, topics: topicsOf("ostiary", "test"), commitTimes },
        newHead: () => undefined,
        reportDamage: () => false,
        transport: {
          ...{ name: "broker:1883", connected: true, window: 1 },
          onConnect: (listener) => listener(),
          publish: (_, message) => new Promise((resolve) => sent.push({ message, acknowledge: resolve })),
          close: () => Promise.resolve(),
        },
      });
      publisher.start();
      const announcements: { readonly change: StateChange; readonly committedMs: number }[] = [];
      writer.onStateChange((change, committedMs) => announcements.push({ change, committedMs }));
      const announce = (index: number): void => {
        const { change, committedMs } = must(announcements[index]);
        commitTimes.record(change.state.offset, committedMs);
        publisher.onCommit(change);
      };
      for (const user of ["ann", "bob", "cat"])
        await writer.write({ kind: "batch", changes: [{ inserts: [reader(user)] }] }, untraced);
      await eventually(() => expect(announcements.length).toBe(3));
      announce(0);
      announce(1);
      // Only one message may wait for its acknowledgement.
      expect(sent.length).toBe(1);
      must(sent[0]).acknowledge();
      // The database has two more events, one of which is not announced. Its time is unknown.
      await eventually(() => expect(sent.length).toBe(2));
      must(sent[1]).acknowledge();
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
      expect(sent.length).toBe(2);
      announce(2);
      expect(sent.length).toBe(3);
      const batches = sent.map(({ message }) => {
        const decoded = decodeBatch(message);
        return "message" in decoded ? decoded.message : undefined;
      });
      expect(batches.map((batch) => batch?.ev.map(([offset]) => offset))).toEqual([[2], [3], [4]]);
      const times = announcements.map(({ committedMs }) => [Math.round(committedMs * 1000) / 1000]);
      expect(batches.map((batch) => batch?.c)).toEqual(times);
    } finally {
      store.close();
      await writer.stop();
    }
  }));
