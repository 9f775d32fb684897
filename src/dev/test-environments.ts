/**
 * Throw-away environments of `ostiary dev`, for the tests of an application: each is a primary of its own in this
 * process, with its own data and API key. There are few at a time: a new one takes the place of the one that was not
 * used for the longest time. All are deleted at the end.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { DecisionLog } from "../decisions/decision-log.ts";
import { type App, createApp } from "../features/app.ts";
import { copyEnvironment } from "../replication/snapshots/copy-environment.ts";
import { realSystem } from "../replication/system.ts";
import { parseApiKey } from "../store/keys/api-keys.ts";
import { startAlone } from "../roles/node-parts.ts";
import type { TestEnvironments } from "../roles/node-service.ts";
import { type PrimaryNode, startPrimary } from "../roles/primary.ts";
import { AppError } from "../util/app-error.ts";

/** More than the workers of a test runner, since each may use one. */
const environmentsMax = 20;

/** Requests that wait for an environment. One takes a tenth of a second, also if its client has left meanwhile. */
const waitingMax = 20;

const environmentPrefix = "testenv";
/** The id of the only key of each environment, as in the development key. */
const keyId = "12345";

interface TestEnvironment {
  readonly node: PrimaryNode;
  readonly decisions: DecisionLog;
  readonly app: App;
  readonly data: string;
}

export class DevEnvironments implements TestEnvironments {
  readonly #config: Config;
  readonly #original: PrimaryNode;
  readonly #folder: string;
  /** By name; the one that was used last is at the end. */
  readonly #environments = new Map<string, TestEnvironment>();
  /** Environments are created one after another, so that their number is exact. */
  #created: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #isClosed = false;

  /** `config` and `original` are those of the default environment. */
  constructor(config: Config, original: PrimaryNode) {
    this.#config = config;
    this.#original = original;
    this.#folder = join(config.data, "test-environments");
    // A process that was killed could not delete them.
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * Returns the API key of a new environment: empty, or a copy of the default one. Rejects with `not_ready` if too many
   * requests wait, or the node stops.
   */
  async create(isCopy: boolean): Promise<string> {
    if (this.#waiting >= waitingMax)
      throw new AppError("not_ready", `${waitingMax} requests wait for a test environment already, try again`);
    this.#waiting += 1;
    const created = this.#created.then(() => this.#create(isCopy)).finally(() => (this.#waiting -= 1));
    this.#created = created.catch(() => {});
    return created;
  }

  async #create(isCopy: boolean): Promise<string> {
    if (this.#isClosed) throw new AppError("not_ready", "the node stops and creates no test environment any more");
    for (const name of this.#environments.keys()) {
      if (this.#environments.size < environmentsMax) break;
      await this.#remove(name);
    }
    const name = environmentPrefix + randomBytes(8).toString("hex");
    const data = join(this.#folder, name);
    mkdirSync(data, { recursive: true, mode: 0o700 });
    try {
      const { limits } = this.#config;
      const source = this.#original.engine().path;
      if (isCopy) await copyEnvironment({ environment: name, data, limits, system: realSystem }, source);
      const adminKey = `e_${name}_${keyId}_${randomBytes(16).toString("hex")}`;
      const config = { ...this.#config, environment: name, data, nodeId: name, adminKey };
      const node = await startAlone(config, (parts) => startPrimary(parts, config));
      const decisions = new DecisionLog(config);
      const createTestEnvironment = (copy: boolean) => this.create(copy);
      const app = createApp(node, limits, { decisions, createTestEnvironment });
      this.#environments.set(name, { node, decisions, data, app });
      return adminKey;
    } catch (error) {
      await this.#remove(name);
      rmSync(data, { recursive: true, force: true });
      throw error;
    }
  }

  /** The API of the environment whose key the request has. */
  appFor({ headers }: Request): App | undefined {
    const key = headers.get("authorization")?.split(" ").at(-1) ?? "";
    if (!key.startsWith(`e_${environmentPrefix}`)) return undefined;
    const name = parseApiKey(key)?.environment ?? "";
    const environment = this.#environments.get(name);
    if (environment === undefined) return undefined;
    this.#environments.delete(name);
    this.#environments.set(name, environment);
    return environment.app;
  }

  async #remove(name: string): Promise<void> {
    const environment = this.#environments.get(name);
    if (environment === undefined) return;
    this.#environments.delete(name);
    environment.app.close();
    await environment.decisions.close();
    await environment.node.stop();
    rmSync(environment.data, { recursive: true, force: true });
  }

  /** Stops and deletes all environments. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#created;
    for (const name of [...this.#environments.keys()]) await this.#remove(name);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
