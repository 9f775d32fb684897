/** A node reads the ids of all values into memory while it answers, so that questions need not look them up. */
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
  /** The connection that writes its file. */
  readonly writer: Connection;
  /** Does all that was to be done later, and what comes of that. */
  readonly wait: () => void;
}

/** A copy of a file in which each user may read one document. */
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

/** How many of the users are found when the file no longer tells their ids. */
const knownWithoutFile = ({ copy, writer, wait }: Opened): number => {
  // It makes the plan, which looks ids up as well.
  expect(mayRead(copy, "nobody")).toBe(false);
  writer.exec("DELETE FROM symbol");
  // Until then a question may be of the state of the one before.
  wait();
  return users.filter((user) => mayRead(copy, user)).length;
};

test("all ids are there a moment after the start", () =>
  withCopy((opened) => {
    opened.wait();
    expect(knownWithoutFile(opened)).toBe(users.length);
  }));

test("none is read ahead where none is kept", () =>
  withCopy(
    (opened) => {
      opened.wait();
      expect(knownWithoutFile(opened)).toBe(0);
    },
    { ...defaultLimits, symbolCacheEntriesMax: 0 },
  ));

test("nothing is read ahead of a copy that is closed", () =>
  withCopy(({ copy, wait }) => {
    copy.close();
    expect(wait).not.toThrow();
  }));

test("where they can't be read, the node says so and goes on", () =>
  withCapturedLog((lines) =>
    withCopy(({ copy, writer, wait }) => {
      writer.exec("ALTER TABLE symbol RENAME TO lost");
      wait();
      writer.exec("ALTER TABLE lost RENAME TO symbol");
      expect(lines.join("\n")).toContain("ids can't be read ahead");
      expect(users.every((user) => mayRead(copy, user))).toBe(true);
    }),
  ));
