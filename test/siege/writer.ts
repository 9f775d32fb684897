/**
 * An honest client that writes registers on the primary and through the edge, creates and revokes API keys, and reports
 * what was acknowledged.
 */
import * as Bun from "bun";
import type { Urls } from "./attack.ts";
import { standardInputEnded, tell } from "../harness/child-process.ts";
import type { Write } from "../harness/history.ts";
import { Writers, type WriterCounts } from "../harness/writers.ts";

export interface WriterPlan {
  readonly urls: Urls;
  readonly adminKey: string;
  readonly writesPerSecond: number;
  readonly keysPerSecond: number;
  readonly seed: number;
}

export interface MadeKey {
  readonly id: string;
  readonly token: string;
}

export type WriterMessage =
  | { readonly kind: "written"; readonly writes: readonly ReportedWrite[]; readonly counts: WriterCounts }
  | { readonly kind: "refused"; readonly answer: string }
  | { readonly kind: "made" | "revoked"; readonly key: MadeKey }
  /** The primary accepted a key after it had acknowledged that it was revoked. */
  | { readonly kind: "acceptedRevoked"; readonly key: MadeKey }
  /** Possibly revoked: the revocation was not acknowledged. */
  | { readonly kind: "uncertain"; readonly key: MadeKey };

/** JSON has no Infinity, which is the end of a write without an answer. */
export type ReportedWrite = Omit<Write, "endMs"> & { readonly endMs: number | null };

const keysKept = 5;
const timeoutMs = 15_000;
/** For writes that are pending when the writer is stopped. */
const answersWithinMs = 15_000;

/** Both `siege.ts` and this process import this file. */
if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "") as WriterPlan);

async function main(plan: WriterPlan): Promise<void> {
  let isStopped = false;
  const ended = standardInputEnded().then(() => (isStopped = true));
  const { urls, adminKey: key, seed, writesPerSecond } = plan;
  const onRefused = (answer: string): void => tell({ kind: "refused", answer } satisfies WriterMessage);
  const writers = new Writers({ urls: [urls.primary, urls.edge], key, seed, writesPerSecond, onRefused });
  const keys = new KeyWriter(plan);
  writers.start();
  while (!isStopped) {
    await Promise.all([keys.change(), Promise.race([ended, Bun.sleep(1000 / plan.keysPerSecond)])]);
    report(writers);
  }
  await writers.stop(answersWithinMs);
  report(writers);
  process.exit(0);
}

function report({ writes, counts }: Writers): void {
  tell({ kind: "written", writes: writes.splice(0), counts } satisfies WriterMessage);
}

class KeyWriter {
  readonly #plan: WriterPlan;
  readonly #keys: MadeKey[] = [];

  constructor(plan: WriterPlan) {
    this.#plan = plan;
  }

  async change(): Promise<void> {
    if (this.#keys.length > keysKept) return this.#revoke();
    const answer = await send(this.#plan, "POST", "/api/keys", { name: "siege", role: "read" });
    if (answer?.ok !== true) return tellRefused(answer);
    const { id, token } = JSON.parse(answer.text) as MadeKey;
    this.#keys.push({ id, token });
    tell({ kind: "made", key: { id, token } } satisfies WriterMessage);
  }

  async #revoke(): Promise<void> {
    const key = this.#keys[0];
    if (key === undefined) return;
    const answer = await send(this.#plan, "DELETE", `/api/keys/${key.id}`);
    // A missing key was removed by an earlier attempt without a response.
    if (answer?.ok === true || answer?.status === 404) {
      this.#keys.shift();
      tell({ kind: "revoked", key } satisfies WriterMessage);
      const used = await send({ ...this.#plan, adminKey: key.token }, "GET", "/api/policy_metadata");
      if (used?.ok === true) tell({ kind: "acceptedRevoked", key } satisfies WriterMessage);
      return;
    }
    tell({ kind: "uncertain", key } satisfies WriterMessage);
    tellRefused(answer);
  }
}

interface Answer {
  readonly ok: boolean;
  readonly status: number;
  readonly text: string;
}

/** Undefined where there was none. */
async function send(
  { urls, adminKey }: WriterPlan,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer | undefined> {
  try {
    const answer = await fetch(urls.primary + path, {
      method,
      headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { ok: answer.ok, status: answer.status, text: await answer.text() };
  } catch {
    return undefined;
  }
}

function tellRefused(answer: Answer | undefined): void {
  const { status = 0, text = "no answer" } = answer ?? {};
  tell({ kind: "refused", answer: `${status} ${text.slice(0, 200)}` } satisfies WriterMessage);
}
