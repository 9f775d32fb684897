/**
 * Flows of the console: a primary and edges in this process, as `ostiary serve` starts them, with the example company,
 * and tabs of a browser that are logged in. A flow fails if a tab violates the content security policy, throws an error,
 * or asks another host.
 */
import { expect, test } from "bun:test";
import type { Role } from "../../../src/console/ui/api/responses.ts";
import type { RunningNode } from "../../../src/roles/node-service.ts";
import { loadExample } from "../../e2e/cluster.ts";
import { clientOf } from "../../http/api.ts";
import { adminKey, type Cluster, converged, withCluster } from "../../replication/cluster.ts";
import { builtConsole } from "../built-console.ts";
import { openTab, type Tab, type TabOptions } from "./browser.ts";

/** Enough for a busy machine; a flow that needs more has failed. */
const flowTimeoutMs = 180_000;

export interface KeyOptions {
  readonly name?: string;
  readonly only_predicates?: readonly string[];
  readonly only_types?: readonly string[];
}

export type LogInOptions = KeyOptions & { readonly url?: string } & Pick<TabOptions, "timeZone">;

export class Flow {
  readonly cluster: Cluster;
  /** The address of the primary. */
  readonly url: string;
  readonly #flags: Readonly<Record<string, string>>;
  #primary: RunningNode;
  /** The edges and fallbacks. */
  readonly #replicas: RunningNode[] = [];
  readonly #tabs: Tab[] = [];

  constructor(cluster: Cluster, primary: RunningNode, flags: Readonly<Record<string, string>>) {
    this.cluster = cluster;
    this.url = primary.url;
    this.#primary = primary;
    this.#flags = flags;
  }

  stopPrimary(): Promise<void> {
    return this.#primary.stop();
  }

  /** Starts the primary again, at the same address and with the same data. */
  async startPrimary(): Promise<void> {
    this.#primary = await this.cluster.host("primary", "primary", { ...this.#flags, port: new URL(this.url).port });
  }

  /** Starts an edge, and returns its address. It has all writes so far. */
  edge(name = "edge-a", flags: Readonly<Record<string, string>> = {}): Promise<string> {
    return this.#replica("edge", name, flags);
  }

  /** Starts a fallback that downloads snapshots, and returns its address. It has all writes so far. */
  fallback(): Promise<string> {
    return this.#replica("fallback", "fallback", { refresh: "1s" });
  }

  async #replica(role: "edge" | "fallback", name: string, flags: Readonly<Record<string, string>>): Promise<string> {
    const replica = await this.cluster.host(role, name, { primary: this.url, ...flags });
    this.#replicas.push(replica);
    await this.#converge();
    return replica.url;
  }

  /** Waits until all edges and fallbacks have all writes so far. It sends no requests, which would be in the charts. */
  async #converge(): Promise<void> {
    for (const replica of this.#replicas) await converged(replica.node(), this.#primary.node());
  }

  /** Sends a request with the admin key, and returns the JSON of the response. Fails for another status than `status`. */
  async call(method: string, path: string, body?: unknown, status = 200): Promise<unknown> {
    const headers = { authorization: `Bearer ${adminKey}`, "content-type": "application/json" };
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(this.url + path, { method, headers, ...sent });
    const text = await response.text();
    expect({ status: response.status, text }).toMatchObject({ status });
    return text === "" ? undefined : JSON.parse(text);
  }

  /** A new API key. */
  async key(role: Role, { name = `${role} key`, ...restrictions }: KeyOptions = {}): Promise<string> {
    const made = await this.call("POST", "/api/keys", { name, grant: { role, ...restrictions } });
    return (made as { readonly token: string }).token;
  }

  /** A tab that is not logged in. */
  async tab(url = this.url, options: TabOptions = {}): Promise<Tab> {
    const tab = await openTab(url, options);
    this.#tabs.push(tab);
    return tab;
  }

  /** A tab that is logged in with a new key of the role, and shows the screen at `route`. */
  async logIn(role: Role, route = "", options: LogInOptions = {}): Promise<Tab> {
    const { url = this.url, timeZone, ...restrictions } = options;
    const key = await this.key(role, restrictions);
    await this.#converge();
    const tab = await this.tab(url, { timeZone });
    await tab.logIn(key);
    await tab.page.getByRole("navigation").waitFor();
    if (route !== "") await tab.open(route);
    return tab;
  }

  async end(failure: unknown): Promise<void> {
    const shown = failure === undefined ? [] : await Promise.all(this.#tabs.map((tab) => tab.describe()));
    await Promise.all(this.#tabs.map((tab) => tab.close()));
    if (failure !== undefined)
      throw new Error([String(failure), ...shown].join("\n--- a tab shows\n"), { cause: failure });
    expect(this.#tabs.flatMap(({ problems }) => problems)).toEqual([]);
  }
}

export interface FlowOptions {
  /** Settings of the primary. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Policy and facts of the example company. Default true. */
  readonly loaded?: boolean;
  /** For a flow with many facts. */
  readonly timeoutMs?: number;
}

/** A test with a browser. */
export function flow(name: string, body: (flow: Flow) => Promise<void>, options: FlowOptions = {}): void {
  test(name, () => withFlow(body, options), options.timeoutMs ?? flowTimeoutMs);
}

async function withFlow(
  body: (flow: Flow) => Promise<void>,
  { flags = {}, loaded = true }: FlowOptions,
): Promise<void> {
  builtConsole();
  await withCluster(async (cluster) => {
    const primary = await cluster.host("primary", "primary", flags);
    if (loaded) await loadExample(clientOf(primary.url));
    const flow = new Flow(cluster, primary, flags);
    const error = await body(flow).then(
      () => undefined,
      (thrown: unknown) => thrown ?? new Error("threw nothing"),
    );
    await flow.end(error);
  });
}
