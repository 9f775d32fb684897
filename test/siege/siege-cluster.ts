/**
 * The nodes of a siege: a primary with its embedded broker, an edge and a fallback, as processes with few descriptors
 * and, for root, small disks.
 */
import * as Bun from "bun";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { bodyOf, grantedQuestions, uniformQuestions } from "../../scripts/benchmark/questions.ts";
import { companyOf, factsOf, repository, role, User } from "../../scripts/benchmark/company.ts";
import { random } from "../../scripts/benchmark/random.ts";
import { freePort, NodeProcess } from "../../scripts/node-process.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import { examplePolicy } from "../e2e/cluster.ts";
import { programPath } from "../e2e/program.ts";
import { ProcessCluster } from "../harness/process-cluster.ts";
import { registerResource } from "../harness/register-policy.ts";
import { nodeNames, type Keys, type NodeName, type Urls } from "./attack.ts";
import type { Question } from "./reader.ts";

export interface ClusterPlan {
  readonly binary: string;
  readonly seed: number;
  readonly facts: number;
  readonly descriptorsMax: number;
  readonly refreshSeconds: number;
  /** Whether this process can mount file systems in a namespace of its own. */
  readonly mayMount: boolean;
}

const diskMebibytes = 512;
const entriesPerBatch = 1000;
const questionsOfEachKind = 200;

export class SiegeCluster extends ProcessCluster<NodeName> {
  readonly disks: Partial<Record<NodeName, string>> = {};
  readonly #plan: ClusterPlan;
  #mqttPort = 0;

  private constructor(plan: ClusterPlan) {
    super("siege");
    this.#plan = plan;
  }

  /** Starts all nodes with the facts of the company. `stop` has to be called in any case. */
  static async start(plan: ClusterPlan): Promise<SiegeCluster> {
    const cluster = new SiegeCluster(plan);
    await cluster.startWith(async () => {
      await cluster.#describeNodes();
      await cluster.node("primary").start();
      await cluster.#load();
      for (const name of ["edge", "fallback"] as const) cluster.node(name).launch();
      for (const name of ["edge", "fallback"] as const) await cluster.node(name).ready();
    });
    return cluster;
  }

  get mqttPort(): number {
    return this.#mqttPort;
  }

  get urls(): Urls {
    return { primary: this.node("primary").url, edge: this.node("edge").url, fallback: this.node("fallback").url };
  }

  /** New keys for attackers, and a read key for the honest client. All nodes have them. */
  async makeKeys(): Promise<{ readonly attackers: Keys; readonly honest: string }> {
    const make = async (name: string, role: string): Promise<string> => {
      const { token } = (await this.#send("POST", "/api/keys", { name, role })) as { token: string };
      return token;
    };
    const keys = {
      attackers: {
        read: await make("attacker who reads", "read"),
        write: await make("attacker who writes", "write"),
        admin: await make("attacker who uploads policies", "admin"),
      },
      honest: await make("honest client", "read"),
    };
    const { offset } = must(await this.node("primary").health());
    for (const node of this.nodes.values()) await node.ready((health) => (health.offset ?? -1) >= (offset ?? 0));
    return keys;
  }

  /** Queries with their answers before the attacks. No attack changes them. */
  async questions(): Promise<readonly Question[]> {
    const company = this.#company();
    const asked = [
      ...uniformQuestions(company, random(this.#plan.seed), questionsOfEachKind),
      ...grantedQuestions(company, questionsOfEachKind),
    ];
    const questions: Question[] = [];
    for (const question of asked) {
      const body = bodyOf(question);
      const { allowed } = (await this.#send("POST", "/api/authorize", body)) as { allowed: boolean };
      questions.push({ body, allowed });
    }
    return questions;
  }

  protected override others(): readonly [] {
    return [];
  }

  protected override release(): void {
    for (const disk of Object.values(this.disks)) Bun.spawnSync([programPath("umount"), "--lazy", disk]);
  }

  async #describeNodes(): Promise<void> {
    const { binary, descriptorsMax, refreshSeconds, mayMount } = this.#plan;
    this.#mqttPort = await freePort();
    const primaryPort = await freePort();
    const own: Readonly<Record<NodeName, Readonly<Record<string, string>>>> = {
      primary: { OSTIARY_ADMIN_KEY: this.adminKey, OSTIARY_MQTT_PORT: String(this.#mqttPort) },
      edge: { OSTIARY_PRIMARY: `http://127.0.0.1:${primaryPort}` },
      fallback: { OSTIARY_PRIMARY: `http://127.0.0.1:${primaryPort}`, OSTIARY_REFRESH: `${refreshSeconds}s` },
    };
    // Both limits, since a process may raise its soft one up to the hard one.
    const limited = ["sh", "-c", 'ulimit -n "$1" && shift && exec "$@"', "sh", String(descriptorsMax)];
    for (const name of nodeNames) {
      const directory = join(this.directory, name);
      if (mayMount) this.#mountDisk(name, directory);
      const node = new NodeProcess({
        binary,
        name,
        role: name,
        port: name === "primary" ? primaryPort : await freePort(),
        directory,
        environment: { OSTIARY_NODE_KEY: this.nodeKey, ...own[name] },
        place: { through: limited, listen: "127.0.0.1", address: "127.0.0.1" },
      });
      this.nodes.set(name, node);
    }
  }

  #mountDisk(name: NodeName, directory: string): void {
    mkdirSync(directory);
    const mount = [programPath("mount"), "-t", "tmpfs", "-o", `size=${diskMebibytes}m,mode=0700`, "siege", directory];
    const { success, stderr } = Bun.spawnSync(mount);
    if (!success) throw new Error(`${mount.join(" ")} failed: ${stderr.toString().trim()}`);
    this.disks[name] = directory;
  }

  #company() {
    return companyOf(this.#plan.facts, this.#plan.seed);
  }

  async #load(): Promise<void> {
    await this.#send("POST", "/api/policy", { src: examplePolicy + registerResource, filename: "policy.polar" });
    let batch: unknown[] = [];
    const flush = async (): Promise<void> => {
      if (batch.length > 0) await this.#send("POST", "/api/batch", [{ inserts: batch }]);
      batch = [];
    };
    for (const fact of this.#facts()) {
      batch.push(fact);
      if (batch.length === entriesPerBatch) await flush();
    }
    await flush();
  }

  /** The facts of the company, and roles of a user that can read everything. */
  *#facts(): Generator<Fact> {
    const company = this.#company();
    yield* factsOf(company);
    for (let index = 0; index < company.repositories; index++)
      yield role(User("siege-reader"), "reader", repository(index));
  }

  async #send(method: string, path: string, body: unknown): Promise<unknown> {
    const answer = await fetch(this.node("primary").url + path, {
      method,
      headers: { Authorization: `Bearer ${this.adminKey}` },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status}: ${await answer.text()}`);
    return answer.json();
  }
}
