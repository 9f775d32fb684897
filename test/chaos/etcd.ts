/** One member of an etcd cluster, as a process on a host of a network. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/util/assert.ts";
import { programPath } from "../e2e/program.ts";
import { etcdNames, type Etcd, type Network } from "./network.ts";

const peerPort = 2380;
const askMs = 800;
const outputCharactersKept = 20_000;

interface Answer {
  readonly kvs?: readonly { readonly value: string; readonly mod_revision: string }[];
  readonly succeeded?: boolean;
}

export class EtcdMember {
  readonly #url: string;
  readonly #command: readonly string[];
  #process: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;
  #output = "";

  /** Its data are in this directory. */
  constructor(name: Etcd, directory: string, network: Network) {
    const { through, listen, address, port } = network.place(name);
    this.#url = `http://${address}:${port}`;
    const peer = (one: Etcd): string => `http://${network.place(one).address}:${peerPort}`;
    const options = {
      name,
      "data-dir": join(directory, name),
      "listen-client-urls": `http://${listen}:${port}`,
      "advertise-client-urls": this.#url,
      "listen-peer-urls": `http://${listen}:${peerPort}`,
      "initial-advertise-peer-urls": peer(name),
      "initial-cluster": etcdNames.map((one) => `${one}=${peer(one)}`).join(","),
      "log-level": "error",
    };
    mkdirSync(join(directory, name), { recursive: true, mode: 0o700 });
    // What is written survives the kill of a process without a sync, and nobody pulls the plug of this machine.
    const flags = [...Object.entries(options).map(([key, value]) => `--${key}=${value}`), "--unsafe-no-fsync"];
    this.#command = [...through, programPath("etcd"), ...flags];
  }

  get output(): string {
    return this.#output;
  }

  /** It does not answer at once, and not at all while most of the members are missing. */
  start(): Promise<void> {
    this.#process = Bun.spawn([...this.#command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    void this.#keep(this.#process.stderr);
    return Promise.resolve();
  }

  freeze(): void {
    must(this.#process).kill("SIGSTOP");
  }

  thaw(): void {
    must(this.#process).kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  /** Whether it answers a read that most of the members have to confirm. */
  async hasQuorum(): Promise<boolean> {
    return (await this.#ask("range", { key: btoa("anything") })) !== undefined;
  }

  /** Replaces the value of a key. Whether that was done: there is one, and nobody else has replaced it meanwhile. */
  async replace(name: string, change: (value: string) => string): Promise<boolean> {
    const key = btoa(name);
    const found = (await this.#ask("range", { key }))?.kvs?.[0];
    if (found === undefined) return false;
    const compare = [{ target: "MOD", key, mod_revision: found.mod_revision }];
    const success = [{ request_put: { key, value: btoa(change(atob(found.value))) } }];
    return (await this.#ask("txn", { compare, success }))?.succeeded === true;
  }

  /** Undefined where it gives no answer. */
  async #ask(what: "range" | "txn", body: object): Promise<Answer | undefined> {
    try {
      const init = { method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(askMs) };
      const response = await fetch(`${this.#url}/v3/kv/${what}`, init);
      return response.ok ? ((await response.json()) as Answer) : undefined;
    } catch {
      return undefined;
    }
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream)
      this.#output = (this.#output + decoder.decode(chunk, { stream: true })).slice(-outputCharactersKept);
  }
}
