/**
 * The simulated applications. They write through any node and repeat a write with the same idempotency key, maybe at
 * another node, until they get a response. They also send queries to any node, with and without tokens of writes.
 */
import { deadline } from "../../src/util/clock.ts";
import { adminKey } from "../replication/cluster.ts";
import { Violation, type Histories, type Point } from "./histories.ts";
import type { Cluster } from "./cluster.ts";
import type { Random } from "./random.ts";
import { clockOf, type Owner } from "./time.ts";

export interface Acknowledged {
  readonly request: string;
  readonly token: string;
  /** The position of the write. Undefined if it changed nothing. */
  readonly point: Point | undefined;
  readonly atMs: number;
}

export interface Answer {
  readonly status: number;
  readonly token: string | null;
  readonly body: string;
}

const users = Array.from({ length: 6 }, (_, index) => `u${index}`);
const repos = ["main", "docs", "infra"];
const attemptsMax = 6;
const clientTimeoutMs = 12_000;
/** The time of several requests between nodes, and the time that a node waits for the event stream. */
const promptMs = 500;
const tokensKept = 30;

export class Clients {
  readonly acknowledged: Acknowledged[] = [];
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #owner: Owner = { name: "client", alive: true, frozenUntilMs: 0 };
  /** When the primary of each term first acknowledged a write. */
  readonly #firstAcknowledged: { readonly term: number; readonly atMs: number }[] = [];
  #requests = 0;
  #policies = 0;

  constructor(cluster: Cluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** Writes something, and repeats it until it gets a response or gives up. */
  async write(host?: string): Promise<void> {
    const random = this.#random;
    const kind = random.next();
    if (kind < 0.02) await this.#write("/api/clear_data", {});
    else if (kind < 0.05) await this.loadPolicy();
    else await this.#write("/api/batch", this.#changes(), host);
  }

  /** Whether a node that must not accept writes acknowledges one. */
  async isWritten(host: string): Promise<boolean> {
    return (await this.call(host, "POST", "/api/batch", this.#changes()))?.status === 200;
  }

  /**
   * Writes at one node and reads the write at another, while both reach the primary and it needs no acknowledgements:
   * neither takes long.
   */
  async writeAndRead(writer: string, reader: string): Promise<void> {
    const name = `w${this.#requests++}`;
    const written = await this.#inTime(name, writer, "POST", "/api/batch", this.#changes(), { "X-Request-ID": name });
    if (written === undefined) return;
    this.#acknowledge(name, written, 0);
    const headers = written.token === null ? {} : { OsoOffset: written.token };
    await this.#inTime(`the read of ${name}`, reader, "GET", "/api/facts?predicate=has_role", undefined, headers);
  }

  async #inTime(what: string, ...asked: Parameters<Clients["call"]>): Promise<Answer | undefined> {
    const { time, fail } = this.#cluster;
    const startMs = time.nowMs;
    const answer = await this.call(...asked);
    const tookMs = Math.round(time.nowMs - startMs);
    this.#cluster.note(`${what} at ${asked[0]}: ${answer?.status ?? "no answer"} after ${tookMs} ms`);
    if (answer?.status === 200 && tookMs <= promptMs) return answer;
    // A write may also fail by chance.
    if (answer?.status === 503 && answer.body.includes("the disk is full")) return undefined;
    // The policy may be lost with its history.
    if (answer?.status === 400 && answer.body.includes("no policy is loaded yet")) return undefined;
    const found = `${answer?.status ?? "no answer"} ${answer?.status === 200 ? "" : answer?.body}`;
    fail(new Violation(`${what} at ${asked[0]} took ${tookMs} ms although only brokers are down: ${found}`));
    return undefined;
  }

  async loadPolicy(): Promise<void> {
    // A comment makes it another policy with the same meaning. Long ones do not fit into a message.
    const comment = "#".repeat(1 + (this.#policies % 3) * 400);
    await this.#write("/api/policy", { filename: "", src: `${policy}\n${comment} ${this.#policies++}\n` });
  }

  async ask(host?: string): Promise<void> {
    const random = this.#random;
    const recent = this.acknowledged.slice(-tokensKept);
    if (recent.length > 0 && random.chance(0.6)) await this.#ask({ OsoOffset: random.pick(recent).token }, host);
    else if (random.chance(0.3)) await this.askLatest(host);
    else await this.#ask({}, host);
  }

  askLatest(host?: string): Promise<void> {
    return this.#ask({ "Ostiary-Consistency": "latest" }, host);
  }

  async #ask(headers: Record<string, string>, host: string | undefined): Promise<void> {
    const random = this.#random;
    const all = this.#cluster.machines.map(({ name }) => name);
    const [user, repo] = [random.pick(users), random.pick(repos)];
    const to = host ?? random.pick(all);
    const kind = random.below(3);
    const actor = { actor_type: "User", actor_id: user, action: "read", resource_type: "Repo" };
    if (kind === 0) await this.call(to, "POST", "/api/authorize", { ...actor, resource_id: repo }, headers);
    else if (kind === 1) await this.call(to, "POST", "/api/list", actor, headers);
    else await this.call(to, "GET", "/api/facts?predicate=has_role", undefined, headers);
  }

  /** Undefined if no response arrived. */
  async call(
    to: string,
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer | undefined> {
    const { network, time } = this.#cluster;
    const random = this.#random;
    using late = deadline(
      clockOf(time, this.#owner, random, () => 0),
      clientTimeoutMs,
    );
    try {
      const response = await network.fetchFrom("client", this.#owner)(`http://${to}${path}`, {
        method,
        headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json", ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: late.signal,
      });
      return { status: response.status, token: response.headers.get("osooffset"), body: await response.text() };
    } catch {
      return undefined;
    }
  }

  /** Begins at the given node, if any. */
  async #write(path: string, body: unknown, host?: string): Promise<void> {
    const random = this.#random;
    const { time, members } = this.#cluster;
    const writable = members.map(({ name }) => name);
    const name = `w${this.#requests++}`;
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const to = attempt === 0 && host !== undefined ? host : random.pick(writable);
      const sentMs = time.nowMs;
      const answer = await this.call(to, "POST", path, body, { "X-Request-ID": name });
      this.#cluster.note(`${name} at ${to}: ${answer?.status ?? "no answer"} ${answer?.token ?? ""}`);
      if (answer?.status === 200) {
        this.#requireOnePrimary(name, answer, attempt, sentMs);
        return this.#acknowledge(name, answer, attempt);
      }
      // Without acknowledgements, the only policy may be lost with its primary.
      const hasNoPolicy = this.#cluster.shape.ack === 0 && answer?.body.includes("no policy is loaded yet") === true;
      if (answer !== undefined && answer.status !== 503 && !hasNoPolicy)
        return this.#cluster.fail(
          new Violation(`${to} answers the write ${name} with ${answer.status} ${answer.body}`),
        );
      await time.sleep(random.between(20, 1500));
    }
    this.#cluster.network.counts.add("writes given up");
  }

  /**
   * With a lease, an earlier primary does not acknowledge a write that is sent after a later primary has acknowledged
   * one.
   */
  #requireOnePrimary(name: string, { token }: Answer, attempt: number, sentMs: number): void {
    const { histories, time, fail, shape } = this.#cluster;
    if (!shape.failover || token === null) return;
    const term = histories.termOf(token.split(":")[0] ?? "");
    const later = this.#firstAcknowledged.find((first) => first.term > term && first.atMs < sentMs);
    // A repeated write may be answered with its first position.
    if (later !== undefined && attempt === 0)
      fail(
        new Violation(
          `the write ${name} was acknowledged by the primary of term ${term}, after one of term ${later.term} had acknowledged a write: two primaries at once`,
        ),
      );
    if (this.#firstAcknowledged.every((first) => first.term !== term))
      this.#firstAcknowledged.push({ term, atMs: time.nowMs });
  }

  #acknowledge(name: string, { token, body }: Answer, attempt: number): void {
    const { histories, checker, time, fail } = this.#cluster;
    this.#cluster.network.counts.add("writes acknowledged");
    if (attempt > 0) this.#cluster.network.counts.add("of these sent again");
    if (token === null) return fail(new Violation(`the write ${name} was answered without a token`));
    const request = `admin/${name}`;
    const isThere = (candidate: Point): boolean => isAt(histories, candidate, token);
    const matches = ({ inserted, deleted }: Point): boolean =>
      !body.includes("inserted") || body.includes(`${facts(inserted)} inserted, ${facts(deleted)} deleted`);
    // After the restore of an old backup, one token may name two writes. The response is about the one that it
    // describes.
    const done = histories.done(request).filter(isThere);
    const point = done.find(matches) ?? done[0];
    const idle = histories.foundIdle(request).find(isThere);
    if (idle !== undefined) checker.learn(token, idle);
    else if (point === undefined)
      return fail(new Violation(`the write ${name} was answered with ${token}, where it was not done`));
    if (point !== undefined) {
      checker.learn(token, point);
      if (!matches(point)) {
        const message = `${facts(point.inserted)} inserted, ${facts(point.deleted)} deleted`;
        return fail(new Violation(`the write ${name} was answered with ${body}, it did ${message}`));
      }
    }
    this.acknowledged.push({ request: name, token, point, atMs: time.nowMs });
  }

  #changes(): unknown {
    const random = this.#random;
    return Array.from({ length: 1 + random.below(3) }, () => {
      const fact = () => ({
        predicate: "has_role",
        args: [
          { type: "User", id: random.pick(users) },
          { type: "String", id: "reader" },
          { type: "Repo", id: random.pick(repos) },
        ],
      });
      if (random.chance(0.65)) return { inserts: Array.from({ length: 1 + random.below(2) }, fact) };
      const wide = random.chance(0.1);
      const { predicate, args } = fact();
      return { deletes: [{ predicate, args: wide ? [args[0], args[1], { type: "Repo", id: null }] : args }] };
    });
  }
}

export const policy = `actor User {}
resource Repo { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }
`;

/** Whether `point` was committed at the token's position, in its own epoch or in a later one that contains it. */
function isAt(histories: Histories, point: Point, token: string): boolean {
  const [epoch = "", offset] = token.split(":");
  return Number(offset) === point.offset && (epoch === point.epoch || histories.continues(point, epoch));
}

function facts(count: number): string {
  return count === 1 ? "1 fact" : `${count} facts`;
}
