/** The exchange of the audit log: it ends, also if its reader is behind, or several nodes answer by turns. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { type AuditExchangeOptions, startAuditExchange } from "../../src/replication/audit/audit-exchange.ts";
import { writeNodeSetting } from "../../src/store/keys/api-keys.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { auditEntry, type AuditEntry, operator } from "../../src/store/log/audit-entry.ts";
import { addAuditEntries, auditEntriesAfter } from "../../src/store/log/audit-log.ts";
import { systemClock } from "../../src/util/clock.ts";
import { eventually, withDirectory } from "./cluster.ts";

const pageEntries = 200;
/** Far more than an exchange of these tests needs. */
const callsMax = 30;

const entriesOf = (count: number): AuditEntry[] =>
  Array.from({ length: count }, () =>
    auditEntry({ actor: operator(), action: "backup.download" }, { node: "n", timeMs: Date.now() }),
  );

const add = (store: Connection, entries: readonly AuditEntry[], received: boolean): void =>
  store.transaction(() => addAuditEntries(store, entries, { received }), "immediate");

/** The calls of one exchange. A call that is made too often is refused, which ends the exchange. */
interface Calls {
  readonly asked: string[];
  readonly sent: (readonly AuditEntry[])[];
  readonly notes: string[];
}

interface Sides {
  /** What the replica writes to, and what it reads. */
  store: Connection;
  reader: () => Connection;
  primary: Connection;
  /** The id of the audit log with which the primary answers. */
  readonly log?: () => string;
  readonly onSent?: () => void;
}

function exchangeOnce(sides: Sides): Calls {
  const calls: Calls = { asked: [], sent: [], notes: [] };
  const count = (made: readonly unknown[]): void => {
    if (made.length > callsMax) throw new Error("the exchange does not end");
  };
  const primary: ReturnType<AuditExchangeOptions["primary"]> = {
    audit({ log, after }) {
      count(calls.asked);
      const own = sides.log?.() ?? "a".repeat(16);
      const from = log === own ? after : 0;
      calls.asked.push(`${log} ${after}`);
      const found = auditEntriesAfter(sides.primary, from, pageEntries, { received: true });
      const more = found.length === pageEntries;
      return Promise.resolve({
        log: own,
        last: found.at(-1)?.seq ?? from,
        more,
        entries: found.map(({ entry }) => entry),
      });
    },
    sendAudit(entries) {
      count(calls.sent);
      calls.sent.push(entries);
      sides.onSent?.();
      return Promise.resolve();
    },
  };
  const recordAudit: AuditExchangeOptions["writer"]["recordAudit"] = ({ entries, received, progress }) => {
    count(calls.notes);
    const { store } = sides;
    add(store, entries, received);
    if (progress !== undefined) {
      calls.notes.push(`${progress.key} ${progress.value}`);
      writeNodeSetting(store, progress.key, progress.value);
    }
    return Promise.resolve();
  };
  const clock = { ...systemClock, every: (_ms: number, body: () => void) => (body(), () => {}) };
  const started = new AsyncDisposableStack();
  startAuditExchange(
    { limits: defaultLimits, clock },
    { writer: { recordAudit }, reader: () => sides.reader(), primary: () => primary, reportDamage: () => false },
    started,
  );
  return calls;
}

/** A store, and a reader that does not see what is written from now on. */
function withStores<T>(body: (open: (name: string) => Connection) => Promise<T>): Promise<T> {
  return withDirectory(async (directory) => {
    const opened: Connection[] = [];
    try {
      return await body((name) => {
        const store = openStore(join(directory, name));
        opened.push(store);
        return store;
      });
    } finally {
      for (const store of opened) store.close();
    }
  });
}

function holdBack(reader: Connection): Connection {
  reader.exec("BEGIN");
  reader.number("SELECT count(*) FROM audit");
  return reader;
}

test("a reader that is behind the writer does not make it ask for the same part again and again", () =>
  withStores(async (open) => {
    const [store, primary] = [open("replica"), open("primary")];
    add(primary, entriesOf(450), true);
    const reader = holdBack(open("replica"));
    const { asked } = exchangeOnce({ store, primary, reader: () => reader });
    await eventually(() => expect(store.number("SELECT count(*) FROM audit")).toBe(450));
    const log = "a".repeat(16);
    await eventually(() => expect(asked).toEqual([" 0", `${log} 200`, `${log} 400`]));
  }));

test("nor send the same entries again and again", () =>
  withStores(async (open) => {
    const [store, primary] = [open("replica"), open("primary")];
    const own = entriesOf(450);
    add(store, own, false);
    const reader = holdBack(open("replica"));
    const { sent } = exchangeOnce({ store, primary, reader: () => reader });
    await eventually(() => expect(sent.flat().map(({ id }) => id)).toEqual(own.map(({ id }) => id)));
  }));

test("nor note again and again that the primary has many entries", () =>
  withStores(async (open) => {
    const [store, primary] = [open("replica"), open("primary")];
    add(store, entriesOf(1500), true);
    const reader = holdBack(open("replica"));
    const { notes } = exchangeOnce({ store, primary, reader: () => reader });
    await eventually(() => expect(notes).toHaveLength(2));
    // One more turn of the event loop, in which a loop without an end would go on.
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(notes.map((note) => note.split(" ").toSpliced(1, 1))).toEqual([
      ["audit_received", "0"],
      ["audit_sent", "1500"],
    ]);
  }));

test("two primaries that answer by turns at one address do not keep it asking", () =>
  withStores(async (open) => {
    const [store, primary] = [open("replica"), open("primary")];
    add(primary, entriesOf(450), true);
    let answers = 0;
    const log = (): string => String(answers++ % 2).repeat(16);
    const { asked } = exchangeOnce({ store, primary, reader: () => store, log });
    await eventually(() => expect(store.number("SELECT count(*) FROM audit")).toBe(200));
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(asked).toEqual([" 0", `${"0".repeat(16)} 200`]);
  }));

test("entries of a database that takes the place of another one during an exchange are sent", () =>
  withStores(async (open) => {
    const [before, after, primary] = [open("before"), open("after"), open("primary")];
    for (const [index, store] of [before, after].entries())
      writeNodeSetting(store, "audit_log", String(index).repeat(16));
    add(before, entriesOf(300), false);
    const kept = entriesOf(3);
    add(after, kept, false);
    const sides: Sides = {
      store: before,
      reader: () => sides.store,
      primary,
      onSent: () => void (sides.store = after),
    };
    const { notes } = exchangeOnce(sides);
    await eventually(() => expect(notes.some((note) => note.startsWith("audit_sent"))).toBe(true));
    const { sent } = exchangeOnce(sides);
    await eventually(() => expect(sent.flat()).toEqual(kept));
  }));
