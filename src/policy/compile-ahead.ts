/**
 * Compiles a policy in a thread of its own before it becomes active, because a large one takes longer than other
 * requests should wait. Threads that answer find it when the state of the database names it.
 */
import { spawnWorker } from "../runtime/spawn-worker.ts";
import type { WorkerHandle, WorkerKind } from "../runtime/worker.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { systemClock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import { adoptCompiled, isCompiled } from "./active-policy.ts";
import { type PackedPolicy, unpackPolicy } from "./packed-policy.ts";
import type { PolicyCommands } from "./policy-worker.ts";

const log = getLogger("policy");

const policyWorker: WorkerKind = { name: "policy", entry: "policy/policy-worker.ts" };

/** The serving thread compiles shorter policies when they are active, in some milliseconds. */
const charactersMin = 4096;
/** How long the thread waits for the next policy. */
const idleMs = 10_000;
/** A write waits no longer for this. Then each thread compiles the policy itself. */
const waitMsMax = 10_000;

export interface CompiledAhead {
  readonly source: string;
  readonly filename: string | null;
  readonly packed: PackedPolicy;
}

/** Resolves when another thread has the policy, too. */
type Listener = (compiled: CompiledAhead) => Promise<void>;

const listeners = new Set<Listener>();
let worker: WorkerHandle<PolicyCommands, never> | undefined;
let atWork = 0;
let idleTimer: ReturnType<typeof setTimeout> | undefined;

/** Calls the listener with each policy. Returns the function that ends the calls. */
export function onCompiledAhead(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Resolves when `activate` returns this policy at once, in this thread and in those that listen, or when that takes too
 * long. The source may lack the trailer that the log adds. Never rejects: the error is found again when the policy is activated.
 */
export async function compileAhead(source: string, filename: string | null): Promise<void> {
  if (source.length < charactersMin || isCompiled(source, filename)) return;
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const cancel = systemClock.after(waitMsMax, resolve);
  await Promise.race([late, compileForAll(source, filename)]);
  cancel();
}

async function compileForAll(source: string, filename: string | null): Promise<void> {
  try {
    const packed = await compileInThread(source, filename);
    adoptCompiled(source, filename, unpackPolicy(packed));
    await Promise.all([...listeners].map((listener) => listener({ source, filename, packed })));
  } catch (error) {
    log.debug("a policy could not be compiled ahead: {reason}", { reason: reasonOf(error) });
  }
}

async function compileInThread(source: string, filename: string | null): Promise<PackedPolicy> {
  clearTimeout(idleTimer);
  atWork++;
  try {
    worker ??= startWorker();
    return await worker.call("compile", source, filename);
  } finally {
    if (--atWork === 0) idleTimer = setTimeout(endWorker, idleMs).unref();
  }
}

function startWorker(): WorkerHandle<PolicyCommands, never> {
  const started = spawnWorker<PolicyCommands, never>(policyWorker);
  void forget(started);
  return started;
}

/** The next policy gets another thread when this one has ended. */
async function forget(started: WorkerHandle<PolicyCommands, never>): Promise<void> {
  await started.exited;
  if (worker === started) worker = undefined;
}

function endWorker(): void {
  worker?.terminate(new AppError("not_ready", "no policy is waiting to be compiled"));
  worker = undefined;
}
