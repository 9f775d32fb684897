/**
 * The network between the simulated nodes. A request may be lost, and so may its response, after the work was done.
 * Connections break in the middle of a body. Some paths are cut, in one direction or both: then messages are lost
 * without an error.
 */
import type { Fetch } from "../../src/replication/system.ts";
import type { Counts } from "./counts.ts";
import type { Random } from "./random.ts";
import type { Owner, Time } from "./time.ts";

/** The faults of the network. Probabilities apply to each request. */
export interface Weather {
  lost: number;
  reset: number;
  brokenBody: number;
  damagedBody: number;
  slow: number;
}

export const fair: Weather = { lost: 0, reset: 0, brokenBody: 0, damagedBody: 0, slow: 0 };

export type Serve = (request: Request) => Response | Promise<Response>;

interface Listening {
  readonly owner: Owner;
  readonly serve: Serve;
}

interface Exchange {
  readonly server: Owner;
  readonly reset: () => void;
}

export class Network {
  readonly counts: Counts;
  weather: Weather = fair;
  readonly #time: Time;
  readonly #random: Random;
  readonly #listening = new Map<string, Listening>();
  readonly #cuts = new Map<string, number>();
  readonly #open = new Set<Exchange>();
  #requests = 0;

  constructor(time: Time, random: Random, counts: Counts) {
    this.#time = time;
    this.counts = counts;
    this.#random = random;
  }

  /** Cuts the path from one host to another. Returns the function that repairs it. */
  cut(from: string, to: string): () => void {
    const key = `${from}>${to}`;
    this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1);
    let mended = false;
    return () => {
      if (!mended) this.#cuts.set(key, (this.#cuts.get(key) ?? 1) - 1);
      mended = true;
    };
  }

  reaches(from: string, to: string): boolean {
    return (this.#cuts.get(`${from}>${to}`) ?? 0) === 0;
  }

  listen(host: string, owner: Owner, serve: Serve): () => void {
    const listening = { owner, serve };
    this.#listening.set(host, listening);
    return () => {
      if (this.#listening.get(host) === listening) this.#listening.delete(host);
    };
  }

  /** The handler at a host, for a caller on the same host. */
  served(host: string): Serve | undefined {
    const listening = this.#listening.get(host);
    return listening?.owner.alive === true ? listening.serve : undefined;
  }

  /** The process has ended. Its clients get a connection error, unless the whole machine is down. */
  crashed(owner: Owner, machine: boolean): void {
    for (const exchange of this.#open) {
      if (exchange.server !== owner) continue;
      this.#open.delete(exchange);
      if (!machine) exchange.reset();
    }
  }

  /** The `fetch` of `owner` at `host`. */
  fetchFrom(host: string, owner: Owner): Fetch {
    return (url, init) => {
      const random = this.#random.fork(`request ${this.#requests++}`);
      return this.#time.abortable<Response>(init.signal ?? undefined, (resolve, reject) =>
        this.#send(new Way(this.#time, random, host, owner, resolve, reject), url, init),
      );
    };
  }

  #send(way: Way, url: string, init: RequestInit): void {
    const { random } = way;
    const to = new URL(url).host;
    if (!this.reaches(way.host, to) || random.chance(this.weather.lost)) return this.#lose(way);
    const { signal: _, ...rest } = init;
    this.#time.at(this.#delayMs(random), undefined, () => {
      const listening = this.#listening.get(to);
      if (listening === undefined || !listening.owner.alive) return way.fail("ECONNREFUSED");
      // A frozen process accepts the connection, and answers when it continues.
      this.#time.at(0, listening.owner, () => void this.#serve(way, to, listening, new Request(url, rest)));
    });
  }

  async #serve(way: Way, to: string, { owner, serve }: Listening, request: Request): Promise<void> {
    // It closed its listener while this request was in the queue.
    if (this.#listening.get(to)?.owner !== owner) return way.fail("ECONNRESET");
    const exchange = { server: owner, reset: () => way.fail("ECONNRESET") };
    this.#open.add(exchange);
    const response = await serve(request);
    if (!owner.alive) return;
    const body = await this.#time.working(response.bytes().then((bytes) => bytes.slice()));
    this.#open.delete(exchange);
    if (!this.reaches(to, way.host) || way.random.chance(this.weather.lost)) return this.#lose(way);
    if (way.random.chance(this.weather.reset)) {
      this.counts.add("requests lost, reset or broken");
      return way.fail("ECONNRESET");
    }
    this.#time.at(this.#delayMs(way.random), way.owner, () => way.succeed(response, this.#body(way, body, request)));
  }

  #lose(way: Way): void {
    this.counts.add("requests lost, reset or broken");
    // Usually there is no error. A router may send one, or the kernel may give up.
    if (way.random.chance(0.3)) way.fail("ETIMEDOUT", way.random.between(50, 4000));
  }

  #body(
    way: Way,
    bytes: Uint8Array<ArrayBuffer>,
    { url }: Request,
  ): Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> {
    const { random } = way;
    if (bytes.length > 0 && random.chance(this.weather.brokenBody)) {
      this.counts.add("requests lost, reset or broken");
      return brokenStream(bytes.slice(0, random.below(bytes.length)));
    }
    // TCP checksums protect small bodies well enough.
    if (bytes.length > 0 && url.endsWith("/snapshot") && random.chance(this.weather.damagedBody)) {
      this.counts.add("requests lost, reset or broken");
      const damaged = bytes.slice();
      const index = random.below(damaged.length);
      damaged[index] = (damaged[index] ?? 0) ^ (1 << random.below(8));
      return damaged;
    }
    return bytes;
  }

  #delayMs(random: Random): number {
    return random.chance(this.weather.slow) ? random.between(20, 1500) : random.between(0.2, 5);
  }
}

/** A request under way. */
class Way {
  readonly random: Random;
  readonly host: string;
  readonly owner: Owner;
  readonly #time: Time;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: Error) => void;

  constructor(
    time: Time,
    random: Random,
    host: string,
    owner: Owner,
    resolve: (response: Response) => void,
    reject: (error: Error) => void,
  ) {
    this.#time = time;
    this.random = random;
    this.host = host;
    this.owner = owner;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  succeed({ status, headers }: Response, body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>): void {
    const empty = body instanceof Uint8Array && body.length === 0;
    this.#resolve(new Response(empty ? null : body, { status, headers }));
  }

  fail(code: string, delayMs = 1): void {
    this.#time.at(delayMs, this.owner, () =>
      this.#reject(Object.assign(new TypeError(`${code}: simulated`), { code })),
    );
  }
}

function brokenStream(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let sent = false;
  return new ReadableStream({
    pull(controller) {
      if (sent) controller.error(Object.assign(new TypeError("ECONNRESET: simulated"), { code: "ECONNRESET" }));
      else if (bytes.length > 0) controller.enqueue(bytes);
      sent = true;
    },
  });
}
