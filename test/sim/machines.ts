/**
 * A simulated machine with a node, as an operator sees it: it is started in a role, stopped, killed, loses its power,
 * and its disk fails. Only its environment is simulated; the node is the real code, from the listener's handler to the
 * files.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Config } from "../../src/config/config.ts";
import { connectNode, type NodeClient } from "../../src/replication/transport/node-client.ts";
import type { ClusterSystem } from "../../src/roles/cluster-system.ts";
import { isSystemError } from "../../src/runtime/process.ts";
import type { StoreWriter } from "../../src/log/writer/store-writer.ts";
import { SqliteDatabase } from "../../src/runtime/sqlite.ts";
import { startNode } from "../../src/roles/node-loop.ts";
import type { RunningNode } from "../../src/roles/node-service.ts";
import { closeRawFiles } from "../../src/store/integrity/raw-files.ts";
import type { Clock } from "../../src/util/clock.ts";
import { flipBit } from "../replication/flip-bit.ts";
import { SimulatedClient } from "./brokers.ts";
import type { Cluster } from "./cluster.ts";
import { closeConnections } from "./connections.ts";
import { attachDisk, SimulatedDisk } from "./disks.ts";
import { Violation, type Point } from "./histories.ts";
import type { Serve } from "./network.ts";
import type { Random } from "./random.ts";
import { approveSimulated, spawnSimulated } from "./threads.ts";
import { actor, clockOf, type Owner, type Time } from "./time.ts";
import { StoreWatcher } from "./observed-writer.ts";

/** The pages with facts. */
function leavesOfFacts(path: string): readonly number[] {
  const store = new SqliteDatabase(path, { readonly: true });
  try {
    const sql = "SELECT pageno FROM dbstat WHERE name LIKE 'fact_%' AND pagetype = 'leaf' AND ncell > 0";
    return store.prepare(sql).values().flat().map(Number);
  } finally {
    store.close();
  }
}

/** After this time a process has done the work that waited while it was frozen. */
const thawMs = 100;

/** After this time a node has compared all pages of its small database with their checksums. */
const knowsPagesAfterMs = 1200;

const damageReported =
  /its file is damaged|the copy is damaged|the database `?\/\S+ is damaged|is not what was written to it/;

/** One process of a node. */
export class Process implements Owner {
  readonly #time: Time;
  readonly name: string;
  readonly role: Config["role"];
  readonly watcher: StoreWatcher;
  readonly clock: Clock;
  readonly directory: string;
  alive = true;
  frozenUntilMs = 0;
  frozenFromMs = 0;
  /** Until when the process cannot know of flipped bits in its database. */
  deceivedUntilMs = 0;
  running: RunningNode | undefined;
  failed: unknown;
  stopping: Promise<void> | undefined;
  writer: StoreWriter | undefined;

  constructor(name: string, role: Config["role"], directory: string, clock: (owner: Owner) => Clock, cluster: Cluster) {
    this.name = name;
    this.role = role;
    this.directory = directory;
    this.clock = clock(this);
    this.watcher = new StoreWatcher(name, cluster.time, cluster.histories, cluster.fail);
    this.#time = cluster.time;
  }

  /** Since when its responses may be of an older state than its file. */
  get unsureSinceMs(): number {
    return this.#time.nowMs < this.frozenUntilMs + thawMs ? this.frozenFromMs : Number.POSITIVE_INFINITY;
  }
}

export class Machine {
  readonly name: string;
  readonly disk: SimulatedDisk;
  readonly #cluster: Cluster;
  readonly #root: string;
  readonly #random: Random;
  #directories = 0;
  #starts = 0;
  #process: Process | undefined;
  /** The position of its database when the last process ended. */
  #leftAt: Point | undefined;
  /** Whether its files were ever damaged. */
  #wasTorn = false;
  /** How wrong its wall clock is. */
  skewMs = 0;

  constructor(name: string, cluster: Cluster, random: Random) {
    this.name = name;
    this.#cluster = cluster;
    this.#root = join(cluster.root, name);
    this.#random = random;
    mkdirSync(this.directory, { recursive: true });
    this.disk = new SimulatedDisk(this.directory, this.#random.fork("disk faults"), cluster.counts);
  }

  get url(): string {
    return `http://${this.name}`;
  }

  get directory(): string {
    return join(this.#root, String(this.#directories));
  }

  /** The process that runs, or failed to start. */
  get process(): Process | undefined {
    return this.#process;
  }

  /** The last known position of its database. A power cut may have lost events before it. */
  get point(): Point | undefined {
    return this.#process?.watcher.point ?? this.#leftAt;
  }

  get up(): boolean {
    return this.#process?.running !== undefined && this.#process.stopping === undefined;
  }

  /** Whether it last ran as a primary, or was replaced as one. */
  get wasPrimary(): boolean {
    try {
      return ["primary", "replaced"].includes(readFileSync(join(this.directory, "role"), "utf8"));
    } catch {
      return false;
    }
  }

  /** Resolves when the node runs, or its start has failed. */
  async start(config: Config): Promise<void> {
    const cluster = this.#cluster;
    // One stream per start, because otherwise all starts would create the same epochs.
    const random = this.#random.fork(`start ${++this.#starts}`);
    const process = new Process(
      this.name,
      config.role,
      this.directory,
      (owner) =>
        clockOf(
          cluster.time,
          owner,
          random.fork("clock"),
          () => this.skewMs,
          (error) => this.#timerFailed(error),
        ),
      cluster,
    );
    this.#process = process;
    attachDisk(process, this.disk, process.watcher);
    cluster.note(`${this.name} starts as ${config.role}`);
    const { fragileTimer, starting } = cluster.mutation;
    starting?.(this.directory);
    if (fragileTimer !== undefined) process.clock.every(1000, () => fragileTimer(process));
    const system = this.#systemOf(process, random);
    await actor.run(process, async () => {
      try {
        process.running = await startNode({ ...config, data: process.directory }, system);
        cluster.note(`${this.name} is up`);
      } catch (error) {
        process.failed = error;
        cluster.note(`${this.name} failed to start: ${String(error)}`);
      }
    });
  }

  /** A node survives system errors in timers; any other error ends it. */
  #timerFailed(error: unknown): void {
    const { mutation, fail } = this.#cluster;
    if (isSystemError(error) && mutation.fragileTimer === undefined)
      this.#cluster.note(`  ${this.name}: a timer failed: ${String(error)}`);
    else fail(new Violation(`${this.name} ends, since a timer failed: ${String(error)}`));
  }

  /** Stops the node cleanly. Resolves when it is down. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (process?.running === undefined) return this.kill();
    this.#cluster.note(`${this.name} is stopped`);
    process.stopping ??= actor.run(process, () => process.running!.stop());
    await process.stopping;
    process.alive = false;
    closeConnections(process);
    this.#leftAt = process.watcher.point ?? this.#leftAt;
    if (this.#process === process) this.#process = undefined;
  }

  /** The process ends, and its files are as the system has them. */
  kill(): void {
    this.#end(false);
  }

  /** The power fails, and data that was not synced is lost. */
  cutPower(): void {
    this.#end(true);
  }

  freeze(durationMs: number): void {
    if (this.#process === undefined) return;
    this.#process.frozenFromMs = this.#cluster.time.nowMs;
    this.#process.frozenUntilMs = this.#cluster.time.nowMs + durationMs;
  }

  /** Copies all of its files, as they are on the disk. */
  backup(target: string): Point | undefined {
    copyDirectory(this.directory, target);
    return this.#process?.watcher.point;
  }

  /** Replaces all files by a backup. The node must be down. */
  restore(backup: string): void {
    this.#moveTo((target) => copyDirectory(backup, target));
  }

  wipe(): void {
    this.#leftAt = undefined;
    this.#moveTo((target) => mkdirSync(target, { recursive: true }));
  }

  /** Overwrites some pages of its database with garbage. Returns false if there is no database. */
  tear(): boolean {
    const stores = readdirSync(this.directory).filter((name) => /^store-\d+\.db$/.test(name));
    const latest = stores.toSorted((a, b) => Number(b.slice(6, -3)) - Number(a.slice(6, -3)))[0];
    if (latest === undefined) return false;
    this.#wasTorn = true;
    const path = join(this.directory, latest);
    const pages = Math.floor(statSync(path).size / pageBytes);
    const file = openSync(path, "r+");
    const first = 1 + this.#random.below(Math.max(1, pages - 1));
    const count = 1 + this.#random.below(6);
    for (let page = first; page < Math.min(pages, first + count); page++) {
      const garbage = Buffer.alloc(pageBytes, this.#random.pick([0, 255, 0xa5]));
      writeSync(file, garbage, 0, pageBytes, page * pageBytes);
    }
    closeSync(file);
    return true;
  }

  /**
   * Flips some bits of facts in the database in use. Returns false if the process does not know the checksums of its
   * pages yet.
   */
  flipBits(): boolean {
    const process = this.#process;
    const { nowMs } = this.#cluster.time;
    const opened = process?.watcher.opened;
    if (process === undefined || opened === undefined || nowMs < opened.atMs + knowsPagesAfterMs) return false;
    const pages = leavesOfFacts(opened.path);
    if (pages.length === 0) return false;
    this.#wasTorn = true;
    process.deceivedUntilMs = Math.max(nowMs, process.frozenUntilMs) + knowsPagesAfterMs;
    for (const page of pages) {
      // The content of a page is at its end.
      for (let flips = 0; flips < 3; flips++)
        flipBit(opened.path, page * pageBytes - 1 - this.#random.below(150), this.#random.below(8));
    }
    return true;
  }

  /** Checks a log line of its node: a sound database must never be reported as damaged. */
  checkLogLine(text: string): void {
    if (this.#wasTorn || !damageReported.test(text)) return;
    this.#cluster.fail(new Violation(`${this.name} takes a sound database for a damaged one: ${text}`));
  }

  #end(machine: boolean): void {
    const process = this.#process;
    if (process === undefined) return;
    process.alive = false;
    process.watcher.letGo();
    this.#leftAt = process.watcher.point ?? this.#leftAt;
    this.#process = undefined;
    this.#cluster.network.crashed(process, machine);
    for (const broker of this.#cluster.brokers) broker.crashed(process, machine);
    const from = this.directory;
    // Connections of the dead process are still open and may write when they are collected, but not to these files.
    const { forgetfulDisks, hastyEdges } = this.#cluster.mutation;
    const isHasty = hastyEdges === true && process.role === "edge";
    const forgetful = machine && (process.watcher.synchronous === "NORMAL" || forgetfulDisks || isHasty);
    this.#moveTo((target) => {
      copyDirectory(from, target);
      if (forgetful) loseTail(from, target, this.#random);
      // The data of a failed sync may be on the disk or not.
      else if (machine && this.#random.chance(0.5)) loseUncommitted(from, target);
    });
    closeFiles(process);
  }

  #moveTo(fill: (target: string) => void): void {
    const from = this.directory;
    this.#directories++;
    fill(this.directory);
    this.disk.directory = this.directory;
    rmSync(from, { recursive: true, force: true });
  }

  #systemOf(process: Process, random: Random): ClusterSystem {
    const { time, network, brokers } = this.#cluster;
    const fetch = network.fetchFrom(this.name, process);
    const threads = random.fork("threads");
    return {
      clock: process.clock,
      fetch,
      connectMqtt: (options) => {
        const broker = brokers.find(({ host }) => host === options.host);
        if (broker === undefined) throw new Error(`there is no broker ${options.host}`);
        return new SimulatedClient(broker, this.name, process, options).asMqttClient();
      },
      openBroker: async () => {
        throw new Error("brokers run on machines of their own");
      },
      connectNode(options) {
        let endDownload = (): void => {};
        let isAsking = false;
        const client = connectNode(options, {
          clock: process.clock,
          async fetch(url, init) {
            const response = await fetch(url, init);
            // From here on it is real work on files, until the snapshot is complete or abandoned.
            if (url.endsWith("/snapshot") && isAsking) endDownload = time.work();
            return response;
          },
        });
        const snapshot: NodeClient["snapshot"] = async (...call) => {
          isAsking = true;
          try {
            return await client.snapshot(...call);
          } finally {
            isAsking = false;
            endDownload();
          }
        };
        return { ...client, snapshot };
      },
      openLease: (options) => this.#cluster.engine.open(options, this.name, process, process.clock),
      spawnWorker: (kind) =>
        spawnSimulated(kind, {
          time,
          owner: process,
          clock: process.clock,
          random: threads,
          machineDisk: this.disk,
          watcher: process.watcher,
          mutation: this.#cluster.mutation,
          onWriter: (writer) => (process.writer = writer),
        }),
      approvePolicies: (limits) => approveSimulated({ time, owner: process, random: random.fork("policies") }, limits),
      serve: ({ fetch: serve, stopGraceMs }) =>
        this.#listen(
          process,
          (request) => serve(request, { close() {}, addressOf: () => undefined }),
          stopGraceMs ?? 10_000,
        ),
    };
  }

  #listen(process: Process, serve: Serve, stopGraceMs: number): ReturnType<ClusterSystem["serve"]> {
    const { time, network, mutation, checker } = this.#cluster;
    const mutated: Serve = (request) => mutation.serve?.(process, request, serve) ?? serve(request);
    let inFlight = 0;
    let idle = (): void => {};
    const close = network.listen(this.name, process, async (request) => {
      inFlight++;
      try {
        return await checker.check(process, request, mutated);
      } finally {
        inFlight--;
        if (inFlight === 0) idle();
      }
    });
    return {
      port: 80,
      url: this.url,
      stop() {
        close();
        if (inFlight === 0) return Promise.resolve();
        return new Promise((resolve) => {
          idle = resolve;
          time.at(stopGraceMs, process, resolve);
        });
      },
    };
  }
}

const pageBytes = 4096;

/** Closes all files of a process that was killed, as the system does. */
function closeFiles(process: Process): void {
  closeConnections(process);
  try {
    process.writer?.close();
  } catch {
    // Its connection is closed.
  }
  closeRawFiles(process.directory);
}

/** Without the `-shm`, which is shared memory: the next process that opens the database creates it. */
function copyDirectory(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyDirectory(source, target);
    else if (entry.isFile() && !entry.name.endsWith("-shm")) copyFileSync(source, target);
  }
}

const walHeaderBytes = 32;
const frameHeaderBytes = 24;

/**
 * With `synchronous=NORMAL` the WAL is synced only before a checkpoint. Later data may be lost, also in the middle of a
 * frame.
 */
function loseTail(from: string, to: string, random: Random): void {
  for (const { path, bytes, frames, copied } of logsIn(from, to)) {
    const kept = copied + random.below(frames - copied + 1);
    const end = walHeaderBytes + kept * (frameHeaderBytes + pageBytes) + random.below(pageBytes);
    if (end < bytes) truncateSync(path, end);
  }
}

/** Removes frames without a commit: SQLite has not reported them as committed. */
function loseUncommitted(from: string, to: string): void {
  for (const { path, bytes, frames } of logsIn(from, to)) {
    const end = walHeaderBytes + frames * (frameHeaderBytes + pageBytes);
    if (end < bytes) truncateSync(path, end);
  }
}

/** The WALs in a copy, with the last committed frame and the number of checkpointed frames of their index. */
function* logsIn(from: string, to: string) {
  for (const name of readdirSync(to)) {
    if (!/^store-\d+\.db-wal$/.test(name)) continue;
    const path = join(to, name);
    const memory = join(from, name.replace(/-wal$/, "-shm"));
    // It was just closed, so the whole WAL is in the database.
    if (!existsSync(memory)) continue;
    const index = readFileSync(memory);
    yield { path, bytes: statSync(path).size, frames: index.readUInt32LE(16), copied: index.readUInt32LE(96) };
  }
}
