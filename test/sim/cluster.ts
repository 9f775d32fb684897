/** The simulated cluster: four nodes (one is the primary), a fallback, brokers, a network, and the true histories. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../../src/config/config.ts";
import { loadConfig } from "../../src/config/load.ts";
import { hideNodes } from "../../src/roles/node-metrics.ts";
import { must } from "../../src/util/assert.ts";
import { adminKey, nodeKey } from "../replication/cluster.ts";
import { SimulatedBroker } from "./brokers.ts";
import { Clients } from "./clients.ts";
import { Counts } from "./counts.ts";
import { Histories, type Point, type Violation } from "./histories.ts";
import { Checker } from "./checker.ts";
import { SimulatedLeaseService } from "./leases.ts";
import { Network } from "./network.ts";
import { Machine } from "./machines.ts";
import type { Mutation } from "./mutations.ts";
import { Random } from "./random.ts";
import { Time } from "./time.ts";

/** The configuration that the seed chooses. */
export interface Shape {
  readonly ack: number;
  readonly brokers: number;
  readonly oldBroker: boolean;
  readonly queueMax: number;
  readonly follow: boolean;
  /**
   * Whether files are damaged. That loses a write that only one edge has, so with acknowledgements not every seed does
   * it.
   */
  readonly tears: boolean;
  /** Whether the nodes' wall clocks are wrong from the beginning. */
  readonly skewed: boolean;
  /** Whether the nodes elect the primary themselves, with a lease. */
  readonly failover: boolean;
  /** Whether edges refuse to answer from data that may be older than `maxStalenessMs`. */
  readonly strict: boolean;
  /** The duration of the lease. */
  readonly leaseMs: number;
}

export const maxStalenessMs = 6000;

export interface Standing {
  readonly role: string;
  readonly state: string;
  readonly epoch: string | null;
  readonly offset: number | null;
  readonly digest: string | null;
}

const traceMax = 2000;
const inMemory = "/dev/shm";

export class Cluster {
  readonly time = new Time();
  readonly histories = new Histories((point) => this.#led(point));
  readonly counts = new Counts();
  readonly random: Random;
  readonly shape: Shape;
  readonly network: Network;
  readonly engine: SimulatedLeaseService;
  readonly brokers: readonly SimulatedBroker[];
  readonly clients: Clients;
  readonly checker: Checker;
  readonly members: readonly Machine[];
  readonly fallback: Machine;
  /** A second process that sometimes runs on a copy of the primary's directory. */
  readonly duplicate: Machine;
  readonly root: string;
  readonly trace: string[] = [];
  readonly mutation: Mutation;
  /** The node that the operator regards as the primary. */
  primary: Machine;
  violation: Error | undefined;
  /** The epochs that began without an operator. */
  readonly chosen = new Set<string>();

  constructor(seed: number, mutation: Mutation) {
    this.mutation = mutation;
    this.random = new Random(seed);
    this.shape = {
      ...shapeOf(this.random.fork("shape")),
      failover: mutation.failover ?? this.random.fork("failover").chance(0.3),
      ...mutation.shape,
    };
    this.root = mkdtempSync(join(hasMemory() ? inMemory : tmpdir(), "ostiary-sim-"));
    const { time } = this;
    this.network = new Network(time, this.random.fork("network"), this.counts);
    this.engine = new SimulatedLeaseService(time, this.network, this.random.fork("engine"));
    this.brokers = Array.from(
      { length: this.shape.brokers },
      (_, index) =>
        new SimulatedBroker(
          `broker-${index}`,
          this.shape.oldBroker && index === 0,
          this.shape.queueMax,
          time,
          this.network,
          this.random.fork(`broker ${index}`),
        ),
    );
    this.checker = new Checker({
      time,
      counts: this.counts,
      fail: this.fail,
      maxStalenessMs: this.shape.strict ? maxStalenessMs : undefined,
      isLeased: this.shape.failover,
      living: () => this.primary.point,
    });
    const machines = this.random.fork("machines");
    const machine = (name: string): Machine => new Machine(name, this, machines.fork(name));
    this.members = ["a", "b", "c", "d"].map((name) => machine(name));
    this.fallback = machine("f");
    this.duplicate = machine("t");
    const clocks = this.random.fork("clocks");
    if (this.shape.skewed) for (const machine of this.machines) machine.skewMs = clocks.pick(skewsMs);
    this.primary = must(this.members[0]);
    this.clients = new Clients(this, this.random.fork("clients"));
  }

  get machines(): readonly Machine[] {
    return [...this.members, this.fallback];
  }

  readonly fail = (violation: Violation): void => void (this.violation ??= violation);

  note(text: string): void {
    this.trace.push(`${(this.time.nowMs / 1000).toFixed(3).padStart(9)} ${text}`);
    if (this.trace.length > traceMax * 2) this.trace.splice(0, traceMax);
  }

  start(machine: Machine, role: Config["role"] = this.roleOf(machine)): Promise<void> {
    return machine.start(this.#config(machine, role));
  }

  roleOf(machine: Machine): Config["role"] {
    if (machine === this.fallback) return "fallback";
    return machine === this.primary ? "primary" : "edge";
  }

  /** The health of a node, as a process on the same machine can request it. */
  async health(machine: Machine): Promise<Standing | undefined> {
    const serve = this.network.served(machine.name);
    if (serve === undefined) return undefined;
    const response = await serve(new Request(`${machine.url}/healthcheck`));
    return (await response.json()) as Standing;
  }

  /** With failover the nodes elect the primary, so this has to find it. */
  #led({ by, epoch }: Point): void {
    if (!this.shape.failover) return;
    this.chosen.add(epoch);
    this.primary = must(this.members.find(({ name }) => name === by));
  }

  /** Starts a second process of the primary on another machine, on this copy of its directory. */
  startDuplicate(directory: string): Promise<void> {
    this.duplicate.restore(directory);
    return this.duplicate.start({ ...this.#config(this.primary, "primary"), data: this.duplicate.directory });
  }

  close(): void {
    for (const machine of [...this.machines, this.duplicate]) machine.kill();
    this.time.close();
    hideNodes();
    rmSync(this.root, { recursive: true, force: true });
  }

  #config(machine: Machine, role: Config["role"]): Config {
    const others = this.members.filter((other) => other !== machine).map(({ url }) => url);
    const flags: Record<string, string> = {
      ...limits,
      role,
      environment: "test",
      nodeId: machine.name,
      nodeKey,
      data: machine.directory,
      "log.level": "info",
      peers: others.join(","),
    };
    if (role !== "fallback") {
      flags["adminKey"] = adminKey;
      flags["ack"] = this.shape.ack === 0 || this.mutation.impatient === true ? "none" : `edges:${this.shape.ack}`;
      flags["broker"] = this.brokers.map(({ host }) => `mqtt://${host}`).join(",");
    }
    if (role !== "fallback" && this.shape.failover) {
      flags["failover"] = "etcd://engine:2379";
      flags["advanced.failoverTtl"] = `${this.shape.leaseMs}ms`;
      flags["failoverMayLoseWrites"] = "true";
    }
    if (role === "edge" && this.shape.strict) flags["maxStaleness"] = `${maxStalenessMs}ms`;
    if (role !== "primary") flags["primary"] = this.primary === machine ? must(others[0]) : this.primary.url;
    if (role === "fallback") {
      flags["refresh"] = "3s";
      if (this.shape.follow) flags["follow"] = "true";
    }
    const { config, problems } = loadConfig({ environment: {}, flags });
    return must(config, problems.join("; "));
  }
}

/** Older events are trimmed from the log, even if no other node has them. */
export const retentionEvents = 40;

/** Small, so that rare cases happen often: trimmed logs, full buffers, batches without bodies. */
const limits = {
  "retention.events": String(retentionEvents),
  "advanced.logTrimIntervalMs": "1s",
  "advanced.publishBatchEventsMax": "4",
  "advanced.publishEventBytesMax": "700",
  "advanced.publishBacklogEventsMax": "20",
  "advanced.catchUpBufferMessagesMax": "8",
  "advanced.logPageEventsMax": "7",
  "advanced.headIntervalMs": "700ms",
  "advanced.brokerSilenceMsMax": "2500ms",
  "advanced.databaseCheckIntervalMs": "5s",
  "advanced.ackTimeoutMs": "2s",
  "advanced.forwardTimeoutMs": "4s",
  "advanced.logTimeoutMs": "3s",
  "advanced.snapshotTimeoutMs": "4s",
  "advanced.stopGraceMs": "3s",
  // Measured in real time, which is scarce on a busy machine.
  "advanced.servingThreadTimeMsMax": "1m",
} as const;

/** How wrong wall clocks are. */
export const skewsMs = [0, -3_600_000, -5000, 5000, 3_600_000] as const;

function shapeOf(random: Random): Omit<Shape, "failover"> {
  const ack = random.pick([0, 0, 1, 2]);
  return {
    ack,
    brokers: random.pick([1, 1, 2]),
    oldBroker: random.chance(0.3),
    queueMax: random.pick([3, 100]),
    follow: random.chance(0.5),
    skewed: random.chance(0.4),
    tears: ack === 0 || random.chance(0.3),
    strict: random.chance(0.6),
    leaseMs: random.pick([2000, 3000, 5000]),
  };
}

function hasMemory(): boolean {
  try {
    rmSync(mkdtempSync(join(inMemory, "ostiary-try-")), { recursive: true });
    return true;
  } catch {
    return false;
  }
}
