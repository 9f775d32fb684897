/** One member of an etcd cluster, as a process on a host of a network. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "../e2e/program.ts";
import { ServerProgram } from "../e2e/server-program.ts";
import { etcdNames, type Etcd, type Network } from "./network.ts";

const peerPort = 2380;
const askMs = 800;

interface Answer {
  readonly kvs?: readonly { readonly value: string; readonly mod_revision: string }[];
  readonly succeeded?: boolean;
}

export class EtcdMember extends ServerProgram {
  readonly #url: string;

  /** The directory of its data. */
  constructor(name: Etcd, directory: string, network: Network) {
    const { through, listen, address, port } = network.place(name);
    const url = `http://${address}:${port}`;
    const peer = (one: Etcd): string => `http://${network.place(one).address}:${peerPort}`;
    const options = {
      name,
      "data-dir": join(directory, name),
      "listen-client-urls": `http://${listen}:${port}`,
      "advertise-client-urls": url,
      "listen-peer-urls": `http://${listen}:${peerPort}`,
      "initial-advertise-peer-urls": peer(name),
      "initial-cluster": etcdNames.map((one) => `${one}=${peer(one)}`).join(","),
      "log-level": "error",
    };
    mkdirSync(join(directory, name), { recursive: true, mode: 0o700 });
    // Written data survive the kill of a process without a sync, and this machine does not lose power.
    const flags = [...Object.entries(options).map(([key, value]) => `--${key}=${value}`), "--unsafe-no-fsync"];
    super([...through, programPath("etcd"), ...flags], { host: address, port });
    this.#url = url;
  }

  /** Does not wait: without a majority of the members it does not answer. */
  override start(): Promise<void> {
    this.launch();
    return Promise.resolve();
  }

  /** Whether it answers a read that a majority of the members must confirm. */
  async hasQuorum(): Promise<boolean> {
    return (await this.#ask("range", { key: btoa("anything") })) !== undefined;
  }

  /**
   * Replaces the value of a key. Returns whether that was done: the key exists, and no one has replaced it meanwhile.
   */
  async replace(name: string, change: (value: string) => string): Promise<boolean> {
    const key = btoa(name);
    const found = (await this.#ask("range", { key }))?.kvs?.[0];
    if (found === undefined) return false;
    const compare = [{ target: "MOD", key, mod_revision: found.mod_revision }];
    const success = [{ request_put: { key, value: btoa(change(atob(found.value))) } }];
    return (await this.#ask("txn", { compare, success }))?.succeeded === true;
  }

  /** Undefined if it does not answer. */
  async #ask(what: "range" | "txn", body: object): Promise<Answer | undefined> {
    try {
      const init = { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(askMs) };
      const response = await fetch(`${this.#url}/v3/kv/${what}`, init);
      return response.ok ? ((await response.json()) as Answer) : undefined;
    } catch {
      return undefined;
    }
  }
}
