/**
 * The parser of request bodies. A small body was parsed when it was read, and is only validated here. A large body goes
 * to a thread that starts with the first one and ends, with its memory, if none arrives for a while. The thread parses
 * one body at a time. API keys take turns, so a flood of bodies delays only the key that sends them; the smallest body
 * of a key comes first.
 */
import type { Limits } from "../../config/limits.ts";
import { servingThreadQuestionCharacters } from "../../util/tuning.ts";
import { questionFromJson, SerializedQuestion } from "../../engine/request/questions.ts";
import type { FactChange } from "../../log/event/event.ts";
import { spawnWorker } from "../../runtime/spawn-worker.ts";
import type { WorkerHandle, WorkerKind } from "../../runtime/worker.ts";
import { AppError } from "../../util/app-error.ts";
import { FairQueue } from "../../util/fair-queue.ts";
import type { BodyCommands } from "./body-worker.ts";
import { LargeBody } from "./body-reader.ts";
import { type ParsedRequest, type RequestName, type RequestParsers, requestParsers } from "./request-schemas.ts";

/** Resolves with the request as JSON. */
interface Job extends PromiseWithResolvers<string> {
  readonly name: RequestName;
  readonly holder: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const bodyWorker: WorkerKind = { name: "body", entry: "http/request/body-worker.ts" };

/** How long an idle thread is kept. */
const idleMs = 10_000;

/** Questions that can have more values than the serving thread should read: large ones stay JSON. */
const unbounded = ["authorizeResources", "bulkActions", "query", "queryLocal"] as const;
type Unbounded = (typeof unbounded)[number];

/** Changes of facts, for the writer: those of a large body stay JSON. */
const changes = ["batch", "insertFact", "deleteFacts", "bulkLoad", "bulkDelete", "bulk"] as const;
type ChangeName = (typeof changes)[number];

/** A parsed body. */
export type BodyOf<Name extends RequestName> = Name extends ChangeName
  ? FactChange[] | string
  : Name extends Unbounded
    ? ParsedRequest<Name> | SerializedQuestion<Name>
    : ParsedRequest<Name>;

export class BodyParser {
  readonly #limits: Limits;
  readonly #requests: RequestParsers;
  readonly #waiting = new FairQueue<Job>((job, other) => job.bytes.byteLength < other.bytes.byteLength);
  #thread: WorkerHandle<BodyCommands, never> | undefined;
  #isWorking = false;
  #closed = false;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#requests = requestParsers(limits);
  }

  /** Parses a body; a large one on the thread. Throws or rejects with AppError `invalid_request` or `too_large`. */
  parse<Name extends RequestName>(name: Name, body: unknown): BodyOf<Name> | Promise<BodyOf<Name>> {
    return body instanceof LargeBody
      ? this.#parseInWorker(name, body).then((json) => bodyOfJson(name, json) as BodyOf<Name>)
      : (this.parseValue(name, body) as BodyOf<Name>);
  }

  /** Parses the value of a small body. */
  parseValue<Name extends RequestName>(name: Name, value: unknown): ParsedRequest<Name> {
    return this.#requests[name](value) as ParsedRequest<Name>;
  }

  /** Ends the thread when all waiting bodies are parsed. */
  close(): void {
    this.#closed = true;
    if (!this.#isWorking) this.#endThread();
  }

  #endThread(): void {
    clearTimeout(this.#idleTimer);
    this.#thread?.terminate(new AppError("not_ready", "no thread is needed to parse bodies"));
    this.#thread = undefined;
  }

  #parseInWorker(name: RequestName, { bytes, holder }: LargeBody): Promise<string> {
    const job = { name, holder, bytes, ...Promise.withResolvers<string>() };
    this.#waiting.add(job);
    if (!this.#isWorking) void this.#work();
    return job.promise;
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    clearTimeout(this.#idleTimer);
    for (let job = this.#waiting.next(); job !== undefined; job = this.#waiting.next()) {
      try {
        job.resolve(await this.#startedThread().callWithTransfer([job.bytes.buffer], "parse", job.name, job.bytes));
      } catch (error) {
        job.reject(error);
      }
    }
    this.#isWorking = false;
    if (this.#closed) return this.#endThread();
    this.#idleTimer = setTimeout(() => this.#endThread(), idleMs);
    this.#idleTimer.unref();
  }

  #startedThread(): WorkerHandle<BodyCommands, never> {
    if (this.#thread !== undefined && !this.#thread.hasExited) return this.#thread;
    this.#thread = spawnWorker<BodyCommands>(bodyWorker);
    this.#thread.notify("setLimits", this.#limits);
    return this.#thread;
  }
}

function bodyOfJson(name: RequestName, json: string) {
  if (isIn(changes, name)) return json;
  if (!isIn(unbounded, name)) return JSON.parse(json) as unknown;
  return json.length <= servingThreadQuestionCharacters
    ? questionFromJson(name, json)
    : new SerializedQuestion(name, json);
}

function isIn<Name extends RequestName>(names: readonly Name[], name: RequestName): name is Name {
  return (names as readonly RequestName[]).includes(name);
}
