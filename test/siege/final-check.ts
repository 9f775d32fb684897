/** The checks after a siege: all nodes are equal, no acknowledged write is lost, and no node accepts a revoked key. */
import { checkHistory, type Violation } from "../harness/check-history.ts";
import { readFinalState, waitUntilEqual, type ClusterKeys } from "../harness/final-state.ts";
import type { Write } from "../harness/history.ts";
import { firstLineOf } from "../harness/verdicts.ts";
import { nodeNames, type Urls } from "./attack.ts";
import type { MadeKey, WriterMessage } from "./writer.ts";

/** The observations of the honest writer. */
export class Ledger {
  readonly writes: Write[] = [];
  readonly #keys = new Map<string, { readonly key: MadeKey; readonly state: "valid" | "revoked" | "either" }>();
  counts = { acknowledged: 0, refused: 0, unanswered: 0, keysMade: 0, keysRevoked: 0 };
  readonly refusals = new Map<string, number>();
  /** Keys that the primary still accepted when it had acknowledged that they were revoked, by id. */
  readonly acceptedRevoked: string[] = [];

  take(message: WriterMessage): void {
    switch (message.kind) {
      case "written":
        this.writes.push(...message.writes.map((write) => ({ ...write, endMs: write.endMs ?? Infinity })));
        this.counts = { ...this.counts, ...message.counts };
        return;
      case "refused":
        this.refusals.set(message.answer, (this.refusals.get(message.answer) ?? 0) + 1);
        return;
      case "made":
        this.counts.keysMade++;
        this.#keys.set(message.key.id, { key: message.key, state: "valid" });
        return;
      case "revoked":
        this.counts.keysRevoked++;
        this.#keys.set(message.key.id, { key: message.key, state: "revoked" });
        return;
      case "acceptedRevoked":
        this.acceptedRevoked.push(message.key.id);
        return;
      case "uncertain":
        this.#keys.set(message.key.id, { key: message.key, state: "either" });
    }
  }

  keysIn(state: "valid" | "revoked"): MadeKey[] {
    return [...this.#keys.values()].filter((one) => one.state === state).map(({ key }) => key);
  }
}

export interface NodeFindings {
  /** Acknowledged keys that it does not accept, or why it could not be asked. */
  readonly lostKeys: readonly string[];
  readonly acceptedRevoked: readonly string[];
}

export interface Findings {
  /** Whether all nodes had the same position and digest. */
  readonly isEqual: boolean;
  readonly violations: readonly Violation[];
  readonly keys: Readonly<Record<string, NodeFindings>>;
}

const catchUpTimeoutMs = 60_000;
const keysAbreast = 10;

export async function checkFinally(urls: Urls, ledger: Ledger, clusterKeys: ClusterKeys): Promise<Findings> {
  const isEqual = await waitUntilEqual(urls, catchUpTimeoutMs);
  const keys: Record<string, NodeFindings> = {};
  for (const name of nodeNames) {
    try {
      const valid = ledger.keysIn("valid");
      const accepted = new Set(await acceptedKeys(urls[name], valid));
      const earlier = name === "primary" ? ledger.acceptedRevoked : [];
      keys[name] = {
        lostKeys: valid.filter(({ id }) => !accepted.has(id)).map(({ id }) => `the key ${id} is not accepted`),
        acceptedRevoked: [...earlier, ...(await acceptedKeys(urls[name], ledger.keysIn("revoked")))],
      };
    } catch (error) {
      keys[name] = { lostKeys: [firstLineOf(error)], acceptedRevoked: [] };
    }
  }
  return { isEqual, violations: await violationsOf(urls, ledger, clusterKeys), keys };
}

async function violationsOf(urls: Urls, { writes }: Ledger, keys: ClusterKeys): Promise<readonly Violation[]> {
  try {
    const ends = await readFinalState(urls, "primary", keys);
    const terms = new Map(ends.epochs.map(({ epoch, term }) => [epoch, term]));
    return checkHistory({ writes, reads: [], ...ends, terms });
  } catch (error) {
    return [{ fault: "impossible state", message: firstLineOf(error) }];
  }
}

/** The ids of the keys that the node accepts. */
async function acceptedKeys(url: string, keys: readonly MadeKey[]): Promise<string[]> {
  const accepted: string[] = [];
  for (let start = 0; start < keys.length; start += keysAbreast) {
    const some = keys.slice(start, start + keysAbreast);
    const statuses = await Promise.all(some.map(({ token }) => statusWith(url, token)));
    accepted.push(...some.filter((_, index) => statuses[index] === 200).map(({ id }) => id));
  }
  return accepted;
}

async function statusWith(url: string, key: string): Promise<number> {
  const answer = await fetch(`${url}/api/policy_metadata`, {
    headers: { Authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(10_000),
  });
  await answer.arrayBuffer();
  return answer.status;
}
