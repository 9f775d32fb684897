/**
 * Checks each response of each node against the true histories: it must be right for a state that the node had between
 * the request and the response, and that state must contain the write whose token the request carried. If edges may not
 * answer from old data, the state must not be older than allowed.
 */
import { backFrom, isWithin, Violation, type Point } from "./histories.ts";
import type { CountName, Counts } from "./counts.ts";
import type { Serve } from "./network.ts";
import type { Process } from "./machines.ts";
import type { Time } from "./time.ts";

export interface CheckerOptions {
  readonly time: Time;
  readonly counts: Counts;
  readonly fail: (violation: Violation) => void;
  /** The limit of the edges, if they have one. */
  readonly maxStalenessMs: number | undefined;
  /** Whether a lease determines the primary. */
  readonly isLeased: boolean;
  /** The end of the surviving history. */
  readonly living: () => Point | undefined;
}

/** The time between a commit and the moment when other nodes can know it. */
const freshSlackMs = 100;

export class Checker {
  readonly #options: CheckerOptions;
  readonly #time: Time;
  readonly #fail: (violation: Violation) => void;
  /** The write of each token. */
  readonly #tokens = new Map<string, Point>();

  constructor(options: CheckerOptions) {
    const { time, fail } = options;
    this.#options = options;
    this.#time = time;
    this.#fail = fail;
  }

  #count(name: CountName): void {
    this.#options.counts.add(name);
  }

  learn(token: string, point: Point): void {
    this.#tokens.set(token, point);
  }

  /** Serves a request, and checks the response. */
  async check(process: Process, request: Request, serve: Serve): Promise<Response> {
    const question = questionOf(request.method, new URL(request.url));
    if (question === undefined) return serve(request);
    const body = question === "facts" ? undefined : ((await request.clone().json()) as Body);
    const token = request.headers.get("osooffset") ?? undefined;
    const isLatest = request.headers.get("ostiary-consistency") === "latest";
    const latest = isLatest ? this.#options.living() : undefined;
    const fromMs = this.#time.nowMs;
    const response = await serve(request);
    const answer = response.status === 200 ? ((await response.clone().json()) as unknown) : undefined;
    if (!process.alive || this.#time.nowMs < process.deceivedUntilMs) return response;
    try {
      this.#checkAnswer({ process, question, body, token, latest, fromMs, status: response.status, answer });
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#fail(error);
    }
    return response;
  }

  #checkAnswer(given: Given): void {
    const { process, status, token } = given;
    const possible = process.watcher.since(Math.min(given.fromMs, process.unsureSinceMs));
    const wanted = token === undefined ? undefined : this.#tokens.get(token);
    if (status === 503) return;
    if (status === 409) this.#judgeLoss(given, possible, wanted);
    else if (status === 200) this.#judgeAnswer(given, possible, wanted);
    else throw new Violation(`${process.name} answers a question with ${status}`);
  }

  #judgeAnswer(given: Given, possible: readonly Point[], wanted: Point | undefined): void {
    const { process, token } = given;
    this.#count("questions answered and checked");
    const right = possible.filter((point) => isRight(given, point));
    if (right.length === 0)
      throw new Violation(
        `${process.name} answers ${JSON.stringify(given.body ?? given.question)} with ${JSON.stringify(given.answer)}, which is right at none of ${possible.map(positionOf).join(", ")}`,
      );
    if (process.role === "edge") this.#judgeAge(given, possible.at(-1));
    if (process.role === "edge") this.#checkLatest(given, right);
    if (token === undefined || process.role === "fallback") return;
    this.#count("of these with a token");
    if (wanted === undefined || right.some((point) => isWithin(wanted, point))) return;
    throw new Violation(
      `${process.name} answers from ${right.map(positionOf).join(", ")}, the token says ${token} (${positionOf(wanted)})`,
    );
  }

  /**
   * Later events of the surviving history must be recent. A primary that was replaced need not know events of another
   * epoch yet, unless a lease keeps it from confirming anything.
   */
  #judgeAge({ process, fromMs }: Given, point: Point | undefined): void {
    const { maxStalenessMs, living, isLeased } = this.#options;
    const end = living();
    if (maxStalenessMs === undefined || point === undefined || end === undefined) return;
    this.#count("answers whose freshness was checked");
    if (point === end || !isWithin(point, end)) return;
    const [next] = [...backFrom(end, (at) => at !== point)].slice(-1);
    if (next === undefined || (next.epoch !== point.epoch && !isLeased)) return;
    const ageMs = fromMs - next.atMs;
    if (ageMs > maxStalenessMs + freshSlackMs)
      throw new Violation(
        `${process.name} answers from ${positionOf(point)}, although ${positionOf(next)} was committed ${Math.round(ageMs)} ms before: its copy is too old`,
      );
  }

  /**
   * The response must contain all events of the surviving history that the primary had committed before the request. A
   * primary that was replaced need not know events of another epoch yet, unless a lease keeps it from confirming
   * anything.
   */
  #checkLatest({ process, latest }: Given, right: readonly Point[]): void {
    const end = this.#options.living();
    if (latest === undefined || end === undefined || !isWithin(latest, end)) return;
    this.#count("answers of the latest");
    const lacksNothing = (point: Point): boolean => {
      if (isWithin(latest, point) || !isWithin(point, end)) return true;
      const [next] = [...backFrom(end, (at) => at !== point)].slice(-1);
      return !this.#options.isLeased && next?.epoch !== point.epoch;
    };
    if (right.some(lacksNothing)) return;
    throw new Violation(
      `${process.name} answers the latest from ${right.map(positionOf).join(", ")}, although ${positionOf(latest)} was committed before`,
    );
  }

  #judgeLoss({ process, token }: Given, possible: readonly Point[], wanted: Point | undefined): void {
    if (wanted === undefined) return;
    this.#count("tokens of lost writes refused");
    const present = possible.at(-1);
    if (present === undefined || possible.every((point) => isWithin(wanted, point)))
      throw new Violation(`${process.name} says that the write of ${token} is lost, which it has`);
    if (isWithin(present, wanted)) this.#count("of these not lost but not heard of");
  }
}

interface Body {
  readonly actor_id: string;
  readonly resource_id?: string;
}

type Question = "authorize" | "facts" | "list";

interface Given {
  readonly process: Process;
  readonly question: Question;
  readonly body: Body | undefined;
  readonly token: string | undefined;
  /** The primary's position, if the response must contain all of its events. */
  readonly latest: Point | undefined;
  readonly fromMs: number;
  readonly status: number;
  readonly answer: unknown;
}

function questionOf(method: string, { pathname }: URL): Question | undefined {
  if (method === "GET") return pathname === "/api/facts" ? "facts" : undefined;
  if (pathname === "/api/authorize") return "authorize";
  return pathname === "/api/list" ? "list" : undefined;
}

function isRight({ question, body, answer }: Given, { facts }: Point): boolean {
  if (question === "authorize") {
    const { allowed } = answer as { allowed: boolean };
    return allowed === facts.has(readerText(body?.actor_id ?? "", body?.resource_id ?? ""));
  }
  if (question === "list") {
    const { results } = answer as { results: readonly string[] };
    const begin = readerText(body?.actor_id ?? "", "").slice(0, -1);
    const expected = [...facts].filter((fact) => fact.startsWith(begin)).map((fact) => fact.slice(begin.length, -1));
    return results.length === expected.length && results.every((repo) => expected.includes(repo));
  }
  const given = answer as readonly { args: readonly { type: string; id: string }[] }[];
  const texts = given.map(({ args }) => readerText(args[0]?.id ?? "", args[2]?.id ?? ""));
  return texts.length === facts.size && texts.every((text) => facts.has(text));
}

/** The fact that lets a user read a repository. */
export function readerText(user: string, repo: string): string {
  return `has_role(User:${user}, String:reader, Repo:${repo})`;
}

export function positionOf({ epoch, offset }: Point): string {
  return `${epoch}:${offset}`;
}
