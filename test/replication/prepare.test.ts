/**
 * Events that a copy prepares while its primary is still committing them: nobody sees anything of one before it is committed there, what was prepared and
 * never came leaves no trace, and where nothing can be prepared all is as it was.
 */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Aedes } from "aedes";
import { defaultLimits } from "../../src/config/limits.ts";
import { findClosureDamage } from "../../src/engine/closures.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { Change } from "../../src/engine/event.ts";
import { drainRead } from "../../src/replication/feed/drain-read.ts";
import type { Node } from "../../src/replication/node.ts";
import type { PrimaryNode } from "../../src/replication/primary-node.ts";
import type { ReplayRequest } from "../../src/replication/writing/replay.ts";
import { StoreWriter, type WriterEvent } from "../../src/replication/writing/store-writer.ts";
import { newChanges, presentChange } from "../../src/store/changes.ts";
import { openStore } from "../../src/store/database.ts";
import type { Fact } from "../../src/store/fact.ts";
import { readState, type State } from "../../src/store/state.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { systemClock } from "../../src/util/clock.ts";
import { prepareMosquitto } from "../e2e/mosquitto.ts";
import { findProgram } from "../e2e/program.ts";
import { converged, eventually, insert, loadPolicy, mayRead, untraced, withCluster, withDirectory } from "./cluster.ts";

setDefaultTimeout(30_000);

const folders = `
actor User {}
resource Folder {
  roles = ["reader"];
  permissions = ["read"];
  relations = { parent: Folder };
  "read" if "reader";
  "reader" if "reader" on "parent";
}
`;
const user = (id: string) => ({ type: "User", id });
const folder = (id: string) => ({ type: "Folder", id });
const name = (id: string) => ({ type: "String", id });
const reads = (who: string, where: string): Fact => ({
  predicate: "has_role",
  args: [user(who), name("reader"), folder(where)],
});
const isIn = (inner: string, outer: string): Fact => ({
  predicate: "has_relation",
  args: [folder(inner), name("parent"), folder(outer)],
});

/** As on a full disk. */
function failingCommits(): Disposable {
  const run = Database.prototype.run;
  return spyOn(Database.prototype, "run").mockImplementation(function (this: Database, sql, ...bindings) {
    if (sql === "COMMIT") throw new Error("database or disk is full");
    return run.call(this, sql, ...bindings);
  });
}

describe("a copy's writer", () => {
  let directory: string;
  let primary: StoreWriter;
  let copy: StoreWriter;
  let told: WriterEvent[];
  let moving: State | undefined;
  let moves: State[];
  const changes = newChanges();
  const path = (): string => join(directory, "copy.db");
  const open = (writer: StoreWriter, file: string, synchronous: "FULL" | "NORMAL"): State =>
    writer.open({ path: join(directory, file), environment: "test", synchronous, limits: defaultLimits, changes });

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-prepare-"));
    [told, moves] = [[], []];
    primary = new StoreWriter((event) => told.push(event), systemClock);
    copy = new StoreWriter((event) => {
      if ("moving" in event) moving = event.moving.state;
      if ("moved" in event) moves.push(must(moving));
    }, systemClock);
    open(primary, "primary.db", "FULL");
    await primary.write({ kind: "policy", source: folders, filename: null, force: true }, untraced);
    await write([{ inserts: [isIn("b", "a"), isIn("c", "b"), reads("ann", "a")] }]);
    primary.close();
    await Bun.write(path(), readFileSync(join(directory, "primary.db")));
    open(primary, "primary.db", "FULL");
    open(copy, "copy.db", "NORMAL");
    told.length = 0;
  });

  afterEach(() => {
    primary.close();
    copy.close();
    rmSync(directory, { recursive: true });
  });

  async function write(changed: readonly Change[]): Promise<void> {
    await primary.write({ kind: "batch", changes: changed }, untraced);
  }

  /** What the primary commits: as it is told before, and as it is told then. */
  async function event(changed: readonly Change[]): Promise<{ announced: ReplayRequest; committed: ReplayRequest }> {
    told.length = 0;
    await write(changed);
    const [first, second, third] = told;
    if (first === undefined || !("next" in first) || second === undefined || !("moving" in second))
      throw new Error("it was not told before its commit");
    if (third === undefined || !("moved" in third)) throw new Error("it was not told after its commit");
    const { before, row } = first.next;
    const { state, rows } = second.moving;
    return {
      announced: { epoch: before.epoch, rows: [row], hash: row.hash, digest: null },
      committed: { epoch: state.epoch, rows, hash: state.hash, digest: state.digest },
    };
  }

  /** Another event at the place of the next one, which the primary never commits. */
  async function neverCommitted(changed: readonly Change[]): Promise<ReplayRequest> {
    const other = new StoreWriter((at) => told.push(at), systemClock);
    const file = `other-${crypto.randomUUID()}.db`;
    await Bun.write(join(directory, file), readFileSync(path()));
    open(other, file, "NORMAL");
    told.length = 0;
    await other.write({ kind: "batch", changes: changed }, untraced);
    other.close();
    const [first] = told;
    if (first === undefined || !("next" in first)) throw new Error("nothing was told");
    const { before, row } = first.next;
    return { epoch: before.epoch, rows: [row], hash: row.hash, digest: null };
  }

  /** As a question would see it. */
  function seen<T>(look: (engine: Engine) => T): T {
    const engine = new Engine(openStore(path(), { readonly: true }));
    try {
      return look(engine);
    } finally {
      engine.close();
    }
  }

  const mayReadC = (who: string): boolean =>
    seen((engine) => engine.authorize({ actor: user(who), action: "read", resource: folder("c"), contextFacts: [] }));

  function requireSound(): void {
    const store = openStore(path(), { readonly: true });
    expect(findClosureDamage(store, defaultLimits)).toBeUndefined();
    store.close();
  }

  test("commits what it has prepared when the event itself comes, and nothing of it shows before", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b"), isIn("d", "c")] }]);
    const before = seen((engine) => engine.state());
    const change = presentChange(changes);
    copy.prepare(announced);
    expect(seen((engine) => engine.state())).toEqual(before);
    expect(mayReadC("bob")).toBe(false);
    // Answers that were remembered go on standing.
    expect(presentChange(changes)).toBe(change);
    expect(moves).toEqual([]);
    const arrived = copy.replay(committed);
    expect(arrived.wasPrepared).toBe(true);
    expect(moves).toEqual([arrived.state]);
    expect(presentChange(changes)).not.toBe(change);
    expect(seen((engine) => engine.state())).toEqual(arrived.state);
    expect(arrived.state).toMatchObject({ hash: committed.hash, digest: committed.digest });
    expect(mayReadC("bob")).toBe(true);
    requireSound();
  });

  test("applies another event as if nothing had been prepared", async () => {
    const other = await neverCommitted([{ inserts: [reads("eve", "a"), isIn("a", "z")], deletes: [isIn("c", "b")] }]);
    const { committed } = await event([{ inserts: [reads("bob", "b")] }]);
    copy.prepare(other);
    const arrived = copy.replay(committed);
    expect(arrived.wasPrepared).toBe(false);
    expect([mayReadC("bob"), mayReadC("ann"), mayReadC("eve")]).toEqual([true, true, false]);
    requireSound();
    // Ids that were given in what was rolled back are not taken for known.
    const next = await event([{ inserts: [reads("eve", "z"), isIn("a", "z")] }]);
    copy.prepare(next.announced);
    expect(copy.replay(next.committed).wasPrepared).toBe(true);
    expect(mayReadC("eve")).toBe(true);
    requireSound();
  });

  test("keeps only what was announced last", async () => {
    const other = await neverCommitted([{ inserts: [reads("eve", "a")] }]);
    const { announced, committed } = await event([{ deletes: [isIn("b", "a")] }]);
    copy.prepare(other);
    copy.prepare(announced);
    expect(copy.replay(committed).wasPrepared).toBe(true);
    expect([mayReadC("ann"), mayReadC("eve")]).toEqual([false, false]);
    requireSound();
  });

  test("takes a page of events in which what it has prepared is only the first", async () => {
    const first = await event([{ inserts: [reads("bob", "b")] }]);
    const second = await event([{ inserts: [reads("cat", "b")] }]);
    copy.prepare(first.announced);
    const rows = [...first.committed.rows, ...second.committed.rows];
    expect(copy.replay({ ...second.committed, rows }).wasPrepared).toBe(false);
    expect([mayReadC("bob"), mayReadC("cat")]).toEqual([true, true]);
  });

  test("prepares nothing that does not follow, or can't be read, and takes what does all the same", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    const [row] = announced.rows;
    const wrong: ReplayRequest[] = [
      { ...announced, hash: "0".repeat(16) },
      { ...announced, epoch: "f".repeat(16) },
      { ...announced, rows: [{ ...must(row), offset: 99 }] },
      { ...announced, rows: [{ ...must(row), body: "{" }] },
    ];
    for (const request of wrong) {
      copy.prepare(request);
      // Were it prepared, it would be taken for what is asked for here.
      expect(() => copy.replay(request)).toThrow();
      expect(seen((engine) => engine.state().offset)).toBe(2);
    }
    expect(copy.replay(committed).wasPrepared).toBe(false);
    expect(mayReadC("bob")).toBe(true);
  });

  test("does its work once, however many brokers tell of it", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    using run = spyOn(Database.prototype, "run");
    copy.prepare(announced);
    expect(run).toHaveBeenCalled();
    run.mockClear();
    copy.prepare(announced);
    expect(run).not.toHaveBeenCalled();
    expect(copy.replay(committed).wasPrepared).toBe(true);
  });

  test("and the primary's go on after commits that fail", async () => {
    told.length = 0;
    {
      using _ = failingCommits();
      await expect(write([{ inserts: [reads("eve", "a")] }])).rejects.toThrow("disk is full");
    }
    const [first, ...others] = told;
    expect(others.filter((event) => "moved" in event)).toEqual([]);
    if (first === undefined || !("next" in first)) throw new Error("it was not told of");
    copy.prepare({ epoch: first.next.before.epoch, rows: [first.next.row], hash: first.next.row.hash, digest: null });
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    copy.prepare(announced);
    {
      using _ = failingCommits();
      expect(() => copy.replay(committed)).toThrow("disk is full");
    }
    expect(presentChange(changes)).toBeDefined();
    expect([seen((engine) => engine.state().offset), mayReadC("bob")]).toEqual([2, false]);
    expect(copy.replay(committed).wasPrepared).toBe(false);
    expect([mayReadC("bob"), mayReadC("eve")]).toEqual([true, false]);
    requireSound();
  });

  test("does not commit what leads to another digest than the primary's", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    copy.prepare(announced);
    expect(() => copy.replay({ ...committed, digest: "0".repeat(16) })).toThrow(AppError);
    expect([seen((engine) => engine.state().offset), mayReadC("bob")]).toEqual([2, false]);
    expect(copy.replay(committed).wasPrepared).toBe(false);
    expect(mayReadC("bob")).toBe(true);
  });

  test("keeps what else it is asked to write", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    copy.prepare(announced);
    copy.writeSetting("node_key_hash", "a");
    const store = openStore(path(), { readonly: true });
    expect(readState(store).offset).toBe(2);
    store.close();
    copy.prepare(announced);
    expect(copy.readSetting("node_key_hash")).toBe("a");
    expect(copy.replay(committed).wasPrepared).toBe(false);
    expect(copy.readSetting("node_key_hash")).toBe("a");
  });

  test("forgets it with its file", async () => {
    const { announced, committed } = await event([{ inserts: [reads("bob", "b")] }]);
    copy.prepare(announced);
    copy.close();
    expect([seen((engine) => engine.state().offset), mayReadC("bob")]).toEqual([2, false]);
    open(copy, "copy.db", "NORMAL");
    expect(copy.replay(committed).wasPrepared).toBe(false);
    expect(mayReadC("bob")).toBe(true);
  });
});

describe("an edge", () => {
  const prepared = async (): Promise<number> => (await metrics.eventsPrepared.get()).values[0]?.value ?? 0;

  /** One after the other. `look` is given how many of them the edge had prepared. */
  async function writeSome(
    primary: PrimaryNode,
    edge: Node,
    writes: number,
    look: (made: number) => void,
  ): Promise<void> {
    const before = await prepared();
    for (let write = 0; write < writes; write++) {
      const user = crypto.randomUUID();
      await insert(primary, user);
      await converged(edge, primary);
      expect(mayRead(edge, user)).toBe(true);
    }
    look((await prepared()) - before);
  }

  interface DenyingBroker {
    readonly url: string;
    /** Connections ended since something was forbidden. */
    readonly denials: number;
  }

  /** One that knows MQTT 3.1.1 only, and ends the connection of whoever does what is forbidden. */
  async function withBroker(
    forbids: { readonly publishing?: boolean; readonly subscribing?: boolean },
    body: (broker: DenyingBroker) => Promise<void>,
  ): Promise<void> {
    let denials = 0;
    const judge = (topic: string, isForbidden: boolean | undefined): Error | null => {
      if (isForbidden !== true || !topic.endsWith("/next")) return null;
      denials++;
      return new Error("forbidden");
    };
    const aedes = await Aedes.createBroker({
      authorizePublish: (_client, { topic }, done) => done(judge(topic, forbids.publishing)),
      authorizeSubscribe: (_client, subscription, done) =>
        done(judge(subscription.topic, forbids.subscribing), subscription),
    });
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      aedes.handle(drainRead(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      await body({
        url: `mqtt://127.0.0.1:${port}`,
        get denials() {
          return denials;
        },
      });
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
      await new Promise<void>((resolve) => aedes.close(resolve));
    }
  }

  test("prepares the writes that come one by one", () =>
    withCluster(async (cluster) => {
      const primary = await cluster.primary();
      await loadPolicy(primary.node);
      const edge = await cluster.edge("edge-1", primary);
      await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
      await writeSome(primary.node, edge.node, 20, (made) => expect(made).toBeGreaterThan(10));
    }));

  test("prepares what two brokers tell it", () =>
    withBroker({}, (one) =>
      withBroker({}, (other) =>
        withCluster(
          async (cluster) => {
            const primary = await cluster.primary();
            await loadPolicy(primary.node);
            const edge = await cluster.edge("edge-1", primary);
            await eventually(() =>
              expect(edge.node.health().brokers.map(({ connected }) => connected)).toEqual([true, true]),
            );
            await eventually(() => expect(edge.node.health().state).toBe("LIVE"));
            await writeSome(primary.node, edge.node, 20, (made) => expect(made).toBeGreaterThan(10));
          },
          { broker: `${one.url},${other.url}` },
        ),
      ),
    ));

  for (const [what, forbids] of [
    ["written", { publishing: true }],
    ["read", { subscribing: true }],
  ] as const)
    test(
      `is live at a broker that ends the connection where it may not be ${what}, and goes on without`,
      () =>
        withBroker(forbids, (broker) =>
          withCluster(
            async (cluster) => {
              const primary = await cluster.primary();
              await loadPolicy(primary.node);
              const edge = await cluster.edge("edge-1", primary);
              await eventually(() => expect(edge.node.health().feedConnected).toBe(true));
              await eventually(async () => {
                await insert(primary.node, crypto.randomUUID());
                expect(broker.denials).toBe(2);
              });
              await eventually(() => expect(primary.node.health().feedConnected).toBe(true));
              await eventually(() => expect(edge.node.health()).toMatchObject({ state: "LIVE", feedConnected: true }));
              await writeSome(primary.node, edge.node, 20, (made) => expect(made).toBe(0));
              expect(broker.denials).toBe(2);
              expect(edge.node.health()).toMatchObject({ state: "LIVE", feedConnected: true });
            },
            { broker: broker.url },
          ),
        ),
      40_000,
    );

  test.skipIf(findProgram("mosquitto") === null)(
    "follows a broker whose access list knows nothing of it (skipped without Mosquitto)",
    () =>
      withDirectory(async (directory) => {
        const shipped = readFileSync(new URL("../../compose/mosquitto/acl", import.meta.url), "utf8");
        const acl = shipped.replaceAll(/^topic .*\/next\n/gm, "");
        expect(acl).not.toBe(shipped);
        const mosquitto = await prepareMosquitto(directory, { acl });
        await using _ = { [Symbol.asyncDispose]: () => mosquitto.kill() };
        await mosquitto.start();
        const flags = (role: "primary" | "edge") => ({
          broker: mosquitto.url,
          brokerUsername: mosquitto[role]["OSTIARY_BROKER_USERNAME"] ?? "",
          brokerPassword: mosquitto[role]["OSTIARY_BROKER_PASSWORD"] ?? "",
        });
        await withCluster(async (cluster) => {
          const primary = await cluster.primary(flags("primary"));
          await loadPolicy(primary.node);
          const edge = await cluster.edge("edge-1", primary, flags("edge"));
          await eventually(() => expect(edge.node.health()).toMatchObject({ state: "LIVE", feedConnected: true }));
          await writeSome(primary.node, edge.node, 5, (made) => expect(made).toBe(0));
          expect(edge.node.health()).toMatchObject({ state: "LIVE", feedConnected: true });
        });
      }),
    20_000,
  );
});
