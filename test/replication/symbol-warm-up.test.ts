/**
 * The warm-up of the symbol cache: a node loads all symbols while it answers, so that queries need not look them up.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { defaultLimits } from "../../src/config/limits.ts";
import { LocalDatabase } from "../../src/replication/replica/local-database.ts";
import type { Connection } from "../../src/store/connection/connection.ts";
import { openStore } from "../../src/store/connection/open-store.ts";
import { createState } from "../../src/store/log/store-state.ts";
import { type Clock, systemClock } from "../../src/util/clock.ts";
import { apply, fact, inserted, policy } from "../engine/store.ts";
import { withDirectory } from "./cluster.ts";
import { withCapturedLog } from "./captured-log.ts";

const users = Array.from({ length: 1000 }, (_, index) => `user-${index}`);

interface Opened {
  readonly copy: LocalDatabase;
  /** The connection that writes to the file. */
  readonly writer: Connection;
  /** Runs all timers, and those that they start. */
  readonly wait: () => void;
}

/** A local database in which each user may read one document. */
const withCopy = (body: (opened: Opened) => void, limits = defaultLimits): Promise<void> =>
  withDirectory(async (directory) => {
    const path = join(directory, "store-1.db");
    const writer = openStore(path);
    createState(writer, "test", "test");
    apply(
      writer,
      policy(`actor User {} resource Doc { roles = ["reader"]; permissions = ["read"]; "read" if "reader"; }`),
      inserted(...users.map((user) => fact("has_role", `User:${user}`, "String:reader", "Doc:one"))),
    );
    const later: (() => void)[] = [];
    const clock: Clock = { ...systemClock, after: (_, task) => (later.push(task), () => {}) };
    const copy = new LocalDatabase(directory, limits, clock);
    copy.open(path);
    const wait = (): void => {
      while (later.length > 0) later.shift()?.();
    };
    try {
      body({ copy, writer, wait });
    } finally {
      copy.close();
      writer.close();
    }
  });

const mayRead = (copy: LocalDatabase, id: string): boolean =>
  copy.engine().authorize({
    actor: { type: "User", id },
    action: "read",
    resource: { type: "Doc", id: "one" },
    contextFacts: [],
  });

/** How many of the users are found when the file no longer has their symbols. */
const knownWithoutFile = ({ copy, writer, wait }: Opened): number => {
  // Plans the query, which looks up symbols as well.
  expect(mayRead(copy, "nobody")).toBe(false);
  writer.exec("DELETE FROM symbol");
  // Before that, a query may use the previous state.
  wait();
  return users.filter((user) => mayRead(copy, user)).length;
};

test("all symbols are loaded a moment after the start", () =>
  withCopy((opened) => {
    opened.wait();
    expect(knownWithoutFile(opened)).toBe(users.length);
  }));

test("no symbol is loaded without a cache", () =>
  withCopy(
    (opened) => {
      opened.wait();
      expect(knownWithoutFile(opened)).toBe(0);
    },
    { ...defaultLimits, symbolCacheEntriesMax: 0 },
  ));

test("no symbol is loaded from a database that is closed", () =>
  withCopy(({ copy, wait }) => {
    copy.close();
    expect(wait).not.toThrow();
  }));

test("if the symbols cannot be read, the node logs it and continues", () =>
  withCapturedLog((lines) =>
    withCopy(({ copy, writer, wait }) => {
      writer.exec("ALTER TABLE symbol RENAME TO lost");
      wait();
      writer.exec("ALTER TABLE lost RENAME TO symbol");
      expect(lines.join("\n")).toContain("the symbol cache cannot be warmed up");
      expect(users.every((user) => mayRead(copy, user))).toBe(true);
    }),
  ));
