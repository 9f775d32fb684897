/** Clients of a cluster whose nodes are replaced: one writes continuously, one reads, and both count the results. */
import * as Bun from "bun";
import { Oso } from "oso-cloud";
import { redundantFetch } from "../../src/client/redundant-fetch.ts";
import { Organization, Repository, User } from "../../scripts/example/facts.ts";
import type { NodeProcess } from "../../scripts/node-process.ts";

const writePauseMs = 60;
const readPauseMs = 60;
/** Longer than a handover takes. */
const writeTimeoutMs = 60_000;

export class Load {
  /** The users whose role was acknowledged. */
  readonly acknowledged: string[] = [];
  reads = 0;
  readonly failures: string[] = [];
  readonly #nodes: () => readonly NodeProcess[];
  readonly #adminKey: string;
  readonly #running: Promise<void>;
  #isOver = false;

  /** `nodes` accept writes; `fallback` is asked for reads after they have failed. */
  constructor(nodes: () => readonly NodeProcess[], fallback: NodeProcess, adminKey: string) {
    this.#nodes = nodes;
    this.#adminKey = adminKey;
    this.#running = Promise.all([this.#write(), this.#read(fallback)]).then(() => undefined);
  }

  /** Resolves when the last request is answered. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #write(): Promise<void> {
    for (let index = 0; !this.#isOver; index++) {
      const user = `written-${index}`;
      const deadline = Date.now() + writeTimeoutMs;
      let refused = await this.#attempt(user, 0);
      // The same request again, at the next node: it is done once.
      for (let attempt = 1; refused !== undefined && Date.now() < deadline; attempt++) {
        await Bun.sleep(50);
        refused = await this.#attempt(user, attempt);
      }
      if (refused === undefined) this.acknowledged.push(user);
      else this.failures.push(`the role of ${user} was not written within ${writeTimeoutMs} ms: ${refused}`);
      await Bun.sleep(writePauseMs);
    }
  }

  /** Undefined if it was acknowledged. */
  async #attempt(user: string, attempt: number): Promise<string | undefined> {
    const nodes = this.#nodes();
    const url = nodes[attempt % nodes.length]?.url ?? "";
    const args = [User(user), { type: "String", id: "member" }, Organization("acme")];
    try {
      const response = await fetch(`${url}/api/batch`, {
        method: "POST",
        headers: {
          Authorization: `Bearer ${this.#adminKey}`,
          "Content-Type": "application/json",
          "X-Request-ID": `load-${user}`,
        },
        body: JSON.stringify([{ inserts: [{ predicate: "has_role", args }] }]),
        signal: AbortSignal.timeout(5000),
      });
      return response.ok ? undefined : `${response.status} ${await response.text()}`;
    } catch (error) {
      return String(error);
    }
  }

  async #read(fallback: NodeProcess): Promise<void> {
    const urls = this.#nodes().map(({ url }) => url);
    const fetchBuilder = redundantFetch(urls, { fallback: fallback.url });
    const oso = new Oso(urls[0] ?? "", this.#adminKey, { fetchBuilder });
    while (!this.#isOver) {
      try {
        this.reads++;
        const allowed = await oso.authorize(User("alice"), "read", Repository("compiler"));
        const denied = await oso.authorize(User("mallory"), "delete", Repository("compiler"));
        if (!allowed || denied) this.failures.push(`a read was answered with ${allowed} and ${denied}`);
      } catch (error) {
        this.failures.push(`a read failed: ${String(error)}`);
      }
      await Bun.sleep(readPauseMs);
    }
  }
}

/** The users with a role that the load has written, as one node has them. */
export async function writtenAt({ url }: NodeProcess, adminKey: string): Promise<Set<string>> {
  const query = "predicate=has_role&args.1.type=String&args.1.id=member&args.2.type=Organization&args.2.id=acme";
  const response = await fetch(`${url}/api/facts?${query}`, { headers: { Authorization: `Bearer ${adminKey}` } });
  const facts = (await response.json()) as { readonly args: readonly { readonly id: string }[] }[];
  return new Set(facts.map(({ args }) => args[0]?.id ?? "").filter((user) => user.startsWith("written-")));
}
