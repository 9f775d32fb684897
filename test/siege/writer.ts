/**
 * An honest client that writes facts on the primary and through the edge, creates and revokes API keys, and reports the
 * acknowledged writes.
 */
import * as Bun from "bun";
import { pick, random } from "../../scripts/benchmark/random.ts";
import type { Urls } from "./attack.ts";
import { standardInputEnded, tell } from "../harness/child-process.ts";

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
  | { readonly kind: "inserted" | "deleted"; readonly user: string }
  /** Sent but not acknowledged: it may have been executed. */
  | { readonly kind: "unknown"; readonly user: string }
  | { readonly kind: "refused"; readonly status: number; readonly body: string; readonly atMs: number }
  | { readonly kind: "made" | "revoked"; readonly key: MadeKey }
  /** The primary accepted a key after it had acknowledged that it was revoked. */
  | { readonly kind: "acceptedRevoked"; readonly key: MadeKey }
  /** Possibly revoked: the revocation was not acknowledged. */
  | { readonly kind: "uncertain"; readonly key: MadeKey };

/** What the written facts are about. */
export const writtenRepository = "siege-written";

export const writtenFact = (user: string) => ({
  predicate: "has_role",
  args: [
    { type: "User", id: user },
    { type: "String", id: "reader" },
    { type: "Repository", id: writtenRepository },
  ],
});

const keysKept = 5;
const timeoutMs = 15_000;

/** Both `siege.ts` and this process import this file. */
if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "") as WriterPlan);

async function main(plan: WriterPlan): Promise<void> {
  let isStopped = false;
  void standardInputEnded().then(() => (isStopped = true));
  const rest = (perSecond: number): Promise<void> => Bun.sleep(1000 / perSecond);
  const again = async (perSecond: number, step: () => Promise<void>): Promise<void> => {
    while (!isStopped) await Promise.all([step(), rest(perSecond)]);
  };
  const facts = new FactWriter(plan);
  const keys = new KeyWriter(plan);
  // Two at a time, so that one on a blocked node does not delay the other.
  await Promise.all([
    again(plan.writesPerSecond / 2, () => facts.write("primary")),
    again(plan.writesPerSecond / 2, () => facts.write("edge")),
    again(plan.keysPerSecond, () => keys.change()),
  ]);
  process.exit(0);
}

class FactWriter {
  readonly #plan: WriterPlan;
  readonly #next;
  readonly #inserted: string[] = [];
  #users = 0;

  constructor(plan: WriterPlan) {
    this.#plan = plan;
    this.#next = random(plan.seed);
  }

  async write(node: "primary" | "edge"): Promise<void> {
    const isDelete = this.#inserted.length > 20 && this.#next() < 0.2;
    const user = isDelete ? pick(this.#next, this.#inserted) : `written-${this.#users++}`;
    if (isDelete) this.#inserted.splice(this.#inserted.indexOf(user), 1);
    const change = { [isDelete ? "deletes" : "inserts"]: [writtenFact(user)] };
    const answer = await send(this.#plan, node, "POST", "/api/batch", [change]);
    if (answer?.ok === true) {
      if (!isDelete) this.#inserted.push(user);
      tell({ kind: isDelete ? "deleted" : "inserted", user } satisfies WriterMessage);
      return;
    }
    tell({ kind: "unknown", user } satisfies WriterMessage);
    if (answer !== undefined) tellRefused(answer);
  }
}

class KeyWriter {
  readonly #plan: WriterPlan;
  readonly #keys: MadeKey[] = [];

  constructor(plan: WriterPlan) {
    this.#plan = plan;
  }

  async change(): Promise<void> {
    if (this.#keys.length > keysKept) return this.#revoke();
    const answer = await send(this.#plan, "primary", "POST", "/api/keys", { name: "siege", role: "read" });
    if (answer?.ok !== true) return tellRefused(answer);
    const { id, token } = JSON.parse(answer.text) as MadeKey;
    this.#keys.push({ id, token });
    tell({ kind: "made", key: { id, token } } satisfies WriterMessage);
  }

  async #revoke(): Promise<void> {
    const key = this.#keys[0];
    if (key === undefined) return;
    const answer = await send(this.#plan, "primary", "DELETE", `/api/keys/${key.id}`);
    // A missing key was removed by an earlier attempt without a response.
    if (answer?.ok === true || answer?.status === 404) {
      this.#keys.shift();
      tell({ kind: "revoked", key } satisfies WriterMessage);
      const used = await send({ ...this.#plan, adminKey: key.token }, "primary", "GET", "/api/policy_metadata");
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
  node: "primary" | "edge",
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer | undefined> {
  try {
    const answer = await fetch(urls[node] + path, {
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
  tell({ kind: "refused", status, body: text.slice(0, 200), atMs: Date.now() } satisfies WriterMessage);
}
