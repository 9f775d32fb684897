/**
 * Clients that read continuously, with the official client and `redundantFetch`, mostly with the token of an
 * acknowledged write. They record each query with its answer, the node that answered, and the duration.
 */
import * as Bun from "bun";
import { Oso } from "oso-cloud";
import { redundantFetch, type FetchBuilder } from "../../src/client/redundant-fetch.ts";
import { random, type Random } from "../../scripts/benchmark/random.ts";
import { versionsIn } from "../harness/final-state.ts";
import { positionOf, type Answer, type Read } from "../harness/history.ts";
import type { AcknowledgedWrite, Writers } from "../harness/writers.ts";

export interface ReadersOptions {
  /** By name. */
  readonly edges: Readonly<Record<string, string>>;
  readonly fallback: string;
  readonly key: string;
  readonly seed: number;
  readonly writers: Writers;
  /** The name of a node since its last rollback: it gets another name each time that its directory is rolled back. */
  readonly nameNow: (node: string) => string;
}

const readerCount = 6;
const pauseMs = 8;
const answeredBy = "X-Answered-By";

export class Readers {
  readonly reads: Read[] = [];
  /** The errors of failed reads. */
  readonly failures: string[] = [];
  readonly #options: ReadersOptions;
  readonly #builder: FetchBuilder;
  readonly #names: ReadonlyMap<string, string>;
  #isStopped = false;
  #running: Promise<void> | undefined;

  constructor(options: ReadersOptions) {
    this.#options = options;
    const { edges, fallback } = options;
    this.#builder = redundantFetch(Object.values(edges), { fallback });
    const named = [...Object.entries(edges), ["fallback", fallback] as const];
    this.#names = new Map(named.map(([name, url]) => [new URL(url).host, name]));
  }

  start(): void {
    const readers = Array.from({ length: readerCount }, (_, index) => this.#readOn(random(this.#options.seed + index)));
    this.#running = Promise.all(readers).then(() => undefined);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #readOn(next: Random): Promise<void> {
    const { key, writers } = this.#options;
    let token: string | undefined;
    let node = "";
    const fetchBuilder: FetchBuilder = (fetch) => {
      const redundant = this.#builder((url, init) => this.#signed(fetch(url, init), url));
      return async (url, init) => {
        const headers = {
          ...(init?.headers as Record<string, string>),
          ...(token === undefined ? {} : { OsoOffset: token }),
        };
        const answer = await redundant(url, { ...init, headers });
        node = answer.headers.get(answeredBy) ?? "";
        return answer;
      };
    };
    const oso = new Oso("http://cluster", key, { fetchBuilder });
    while (!this.#isStopped) {
      await Bun.sleep(2 * next() * pauseMs);
      const known = writers.known(next);
      const luck = next();
      token = luck < 0.35 ? known.token : luck < 0.7 ? writers.newest : undefined;
      const startMs = performance.now();
      try {
        const answer = await ask(oso, known, next);
        const position = token === undefined ? undefined : positionOf(token);
        const times = { startMs, endMs: performance.now() };
        this.reads.push({ ...times, node, mayBeOld: node === "fallback", token: position, answer });
      } catch (error) {
        this.failures.push(`${((performance.now() - startMs) / 1000).toFixed(1)} s, ${String(error)}`);
      }
    }
  }

  /** An answer does not name its node. */
  async #signed(answering: Promise<Response>, url: string): Promise<Response> {
    const name = this.#options.nameNow(this.#names.get(new URL(url).host) ?? url);
    const answer = await answering;
    const headers = new Headers(answer.headers);
    headers.set(answeredBy, name);
    return new Response(await answer.arrayBuffer(), { status: answer.status, headers });
  }
}

/** One of the client's queries about a register, or about its group. */
async function ask(oso: Oso, { register, group, version: last }: AcknowledgedWrite, next: Random): Promise<Answer> {
  const luck = next();
  // The last acknowledged version, or the one in flight.
  const version = last + (next() < 0.7 && last > 0 ? 0 : 1);
  const user = { type: "User", id: String(version) };
  const resource = { type: "Register", id: register };
  const has = (answer: boolean): Answer => ({ kind: "has", register, version, has: answer });
  if (luck < 0.3) return has(await oso.authorize(user, "read", resource));
  if (luck < 0.45) return has((await oso.list(user, "read", "Register")).includes(register));
  if (luck < 0.55) return has((await oso.actions(user, resource)).includes("read"));
  if (luck < 0.85) {
    const versions = versionsIn(await oso.get(["has_role", null, group, resource]));
    return { kind: "register", register, versions: versions.get(register) ?? [] };
  }
  return { kind: "group", group, versions: versionsIn(await oso.get(["has_role", null, group, { type: "Register" }])) };
}
