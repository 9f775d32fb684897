/**
 * The overhead of replication: the time from commit on the primary to visibility on an edge, compared with a message of the
 * same size through the same broker between the same processes; and writes per second, compared with bare commits of SQLite
 * with the same durability.
 */
import * as Bun from "bun";
import { join } from "node:path";
import type { Connection } from "../../../src/store/connection/connection.ts";
import { openStore } from "../../../src/store/connection/open-store.ts";
import { zeroHash } from "../../../src/store/log/store-state.ts";
import { must } from "../../../src/util/assert.ts";
import { freePort, randomHex } from "../../node-process.ts";
import { BareInserts, BareRows } from "../bare-rows.ts";
import { createFile, factsEffect } from "../store-file.ts";
import { timesOf, type Times } from "../timing.ts";
import { factNumber } from "./facts.ts";
import type { Answer, BareBroker, Flags, Order } from "./node.ts";

export interface Latency {
  /** Undefined for the embedded one. */
  readonly broker: string | undefined;
  /** Milliseconds from publishing to receiving. */
  readonly bare: Times;
  /** Milliseconds from commit to visible. */
  readonly visible: Times;
}

export interface WriteRates {
  readonly facts: number;
  readonly writesPerSecond: number;
  readonly commitsPerSecond: number;
}

/** A broker that nodes and bare clients log in to. */
export interface Broker {
  readonly name: string;
  readonly url: string;
  readonly primary: Flags;
  readonly edge: Flags;
}

class Child {
  readonly #process: Bun.Subprocess<"ignore", "inherit", "inherit">;
  #answered: ((answer: Answer) => void) | undefined;

  constructor() {
    this.#process = Bun.spawn([process.execPath, join(import.meta.dirname, "node.ts")], {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      ipc: (answer: Answer) => this.#answered?.(answer),
    });
  }

  ask(order: Order): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve;
      void this.#process.exited.then(() => reject(new Error(`a process ended instead of doing ${order.do}`)));
      this.#process.send(order);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

/** About 400 a second. */
const pauseMs = 2;
/** The message to the brokers for one fact. */
const messageBytes = 420;

export async function measureLatency(
  directory: string,
  policy: string,
  broker: Broker | undefined,
  rounds: number,
): Promise<Latency> {
  await using primary = new Child();
  await using edge = new Child();
  await using sender = new Child();
  await using receiver = new Child();
  const flags = await flagsOf(directory, broker);
  await primary.ask({ do: "start", flags: flags.primary, policy });
  await edge.ask({ do: "start", flags: flags.edge, policy });
  const bare = bareOf(broker);
  const { url } = await sender.ask({ do: "open", broker: bare && { ...bare.sender, url: bare.url } });
  await receiver.ask({ do: "listen", broker: { ...(bare?.receiver ?? anybody), url: must(url) } });
  await Bun.sleep(1500);

  const [bareMs, visibleMs]: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    const sent = await sender.ask({ do: "publish", messages: perRound, pauseMs, bytes: messageBytes });
    await Bun.sleep(200);
    const received = await receiver.ask({ do: "times" });
    await edge.ask({ do: "times" });
    const committed = await primary.ask({ do: "write", writes: perRound, pauseMs });
    await Bun.sleep(200);
    const visible = await edge.ask({ do: "times" });
    if (round === 0) continue;
    bareMs.push(...differences(sent, received));
    visibleMs.push(...differences(committed, visible));
  }
  return { broker: broker?.name, bare: timesOf(bareMs), visible: timesOf(visibleMs) };
}

const perRound = 100;
const anybody = { username: "listener", password: "0123456789abcdef" };

function bareOf(broker: Broker | undefined) {
  if (broker === undefined) return undefined;
  const { primary, edge, url } = broker;
  const login = ({ brokerUsername = "", brokerPassword = "" }: Flags): Omit<BareBroker, "url"> => ({
    username: brokerUsername,
    password: brokerPassword,
  });
  return { url, sender: login(primary), receiver: login(edge) };
}

/** Milliseconds between the two times of each number; an edge may see several at once. */
function differences(begun: Answer, ended: Answer): number[] {
  const ends = must(ended.times).toSorted(([left], [right]) => left - right);
  return must(begun.times).map(([number, atUs]) => {
    const end = must(
      ends.find(([reached]) => reached >= number),
      `nobody has seen ${number}`,
    );
    return (end[1] - atUs) / 1000;
  });
}

async function flagsOf(directory: string, broker: Broker | undefined): Promise<{ primary: Flags; edge: Flags }> {
  const port = String(await freePort());
  const common = {
    environment: "bench",
    nodeKey: randomHex(16),
    host: "127.0.0.1",
    mqttPort: "0",
    "log.level": "warning",
  };
  const adminKey = `e_bench_admin_${randomHex(16)}`;
  const carried: Flags = broker === undefined ? {} : { broker: broker.url };
  return {
    primary: {
      ...common,
      ...carried,
      ...broker?.primary,
      role: "primary",
      port,
      data: join(directory, "primary"),
      adminKey,
    },
    edge: {
      ...common,
      ...carried,
      ...broker?.edge,
      role: "edge",
      port: "0",
      data: join(directory, "edge"),
      primary: `http://127.0.0.1:${port}`,
    },
  };
}

/** The number of concurrent clients. */
const parallel = 64;

export async function measureWrites(
  directory: string,
  policy: string,
  facts: number,
  batches: number,
  rounds: number,
): Promise<WriteRates> {
  await using primary = new Child();
  const home = join(directory, `writes-${facts}`);
  const flags = await flagsOf(home, undefined);
  await primary.ask({ do: "start", flags: flags.primary, policy });
  const bare = new BareCommits(join(home, "bare.db"), policy, join(home, "primary", "store-1.db"));
  let [written, committed] = [0, 0];
  for (let round = 0; round <= rounds; round++) {
    const seconds = must((await primary.ask({ do: "flood", batches, facts, parallel })).seconds);
    const bareSeconds = bare.run(round * batches * facts, batches, facts);
    if (round === 0) continue;
    written += seconds;
    committed += bareSeconds;
  }
  bare.close();
  const count = batches * rounds;
  return { facts, writesPerSecond: count / written, commitsPerSecond: count / committed };
}

/** The same facts as rows in the same tables with the same indexes, and a row of the log: one synced commit per write. */
class BareCommits {
  readonly #written: Connection;
  readonly #bare: Connection;
  readonly #rows: BareRows;
  readonly #inserts: BareInserts;
  #offset = 1;

  /** `written` is the database of the primary that also writes them: it has the ids. */
  constructor(path: string, policy: string, written: string) {
    this.#bare = createFile(path, policy);
    this.#written = openStore(written, { readonly: true });
    this.#rows = new BareRows(this.#bare, this.#written);
    this.#inserts = new BareInserts(this.#bare);
  }

  run(first: number, batches: number, facts: number): number {
    const all = Array.from({ length: batches }, (_, batch) => {
      const chunk = Array.from({ length: facts }, (__, index) => factNumber(first + batch * facts + index));
      const body = JSON.stringify(factsEffect(chunk));
      const values = [++this.#offset, Date.now(), "facts", body, null, zeroHash, zeroHash, 0];
      return [...this.#rows.of(chunk), { table: "log", values }];
    });
    const begin = Bun.nanoseconds();
    for (const rows of all) this.#inserts.write(rows);
    return (Bun.nanoseconds() - begin) / 1e9;
  }

  close(): void {
    this.#bare.close();
    this.#written.close();
  }
}
