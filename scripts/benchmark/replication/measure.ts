/**
 * What replication adds to what it stands on: from commit on the primary to visible on an edge, beside the time that a message of the same size takes
 * through the same broker between the same processes; and writes a second, beside bare commits of SQLite with the same durability.
 */
import { join } from "node:path";
import { openStore } from "../../../src/store/database.ts";
import { must } from "../../../src/util/assert.ts";
import { freePort, randomHex } from "../../node-process.ts";
import { timesOf, type Times } from "../timing.ts";
import type { Answer, BareBroker, Flags, Order } from "./node.ts";

export interface Latency {
  readonly broker: string;
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

/** A broker that nodes and bare clients log in to; undefined for the one inside the primary. */
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
    this.#process = Bun.spawn([process.execPath, join(import.meta.dir, "node.ts")], {
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

const pauseMs = 5;
/** What one fact makes a message of the feed. */
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
  return { broker: broker?.name ?? "the embedded broker", bare: timesOf(bareMs), visible: timesOf(visibleMs) };
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

/** So many clients write at a time, as a service has them. */
const abreast = 64;

export async function measureWrites(
  directory: string,
  policy: string,
  facts: number,
  batches: number,
  rounds: number,
): Promise<WriteRates> {
  await using primary = new Child();
  const flags = await flagsOf(join(directory, `writes-${facts}`), undefined);
  await primary.ask({ do: "start", flags: flags.primary, policy });
  const bare = new BareCommits(join(directory, `writes-${facts}`, "bare.db"));
  let [written, committed] = [0, 0];
  for (let round = 0; round <= rounds; round++) {
    const seconds = must((await primary.ask({ do: "flood", batches, facts, abreast })).seconds);
    const bareSeconds = bare.run(batches, facts);
    if (round === 0) continue;
    written += seconds;
    committed += bareSeconds;
  }
  bare.close();
  const count = batches * rounds;
  return { facts, writesPerSecond: count / written, commitsPerSecond: count / committed };
}

/** The same facts as rows of one table with its index, each write one commit that waits for the disk. */
class BareCommits {
  readonly #store;
  readonly #insert;
  #written = 0;

  constructor(path: string) {
    this.#store = openStore(path, { synchronous: "FULL" });
    this.#store.exec("CREATE TABLE bare (a1 INTEGER, a2 INTEGER, a3 INTEGER, PRIMARY KEY (a1, a2, a3)) WITHOUT ROWID");
    this.#insert = this.#store.prepare("INSERT INTO bare VALUES (?, ?, ?)");
  }

  run(batches: number, facts: number): number {
    const begin = Bun.nanoseconds();
    for (let batch = 0; batch < batches; batch++) {
      this.#store.transaction(() => {
        for (let fact = 0; fact < facts; fact++) this.#insert.run(this.#written++, 1, this.#written % 1000);
      }, "immediate");
    }
    return (Bun.nanoseconds() - begin) / 1e9;
  }

  close(): void {
    this.#store.close();
  }
}
