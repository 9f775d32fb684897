/** The checks after a siege: every acknowledged write is on all nodes, and no node accepts a revoked key. */
import type { NodeProcess } from "../../scripts/node-process.ts";
import { nodeNames, type NodeName } from "./attack.ts";
import { writtenRepository, type MadeKey, type WriterMessage } from "./writer.ts";

/** The acknowledged writes, which must exist at the end. */
export class Ledger {
  readonly #users = new Map<string, "present" | "absent" | "either">();
  readonly #keys = new Map<string, { readonly key: MadeKey; readonly state: "valid" | "revoked" | "either" }>();
  readonly counts = { written: 0, unacknowledged: 0, keysMade: 0, keysRevoked: 0 };
  readonly refusals = new Map<string, number>();
  /** Keys that the primary still accepted when it had acknowledged that they were revoked, by id. */
  readonly acceptedRevoked: string[] = [];

  take(message: WriterMessage): void {
    switch (message.kind) {
      case "inserted":
      case "deleted":
        this.counts.written++;
        this.#users.set(message.user, message.kind === "inserted" ? "present" : "absent");
        return;
      case "unknown":
        this.counts.unacknowledged++;
        this.#users.set(message.user, "either");
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
        return;
      case "refused": {
        const what = `${message.status} ${message.body}`;
        this.refusals.set(what, (this.refusals.get(what) ?? 0) + 1);
      }
    }
  }

  /** The errors in the users of a node. */
  problemsWith(found: ReadonlySet<string>): string[] {
    return [...this.#users].flatMap(([user, state]) => {
      if (state === "present" && !found.has(user)) return [`${user} was inserted and is not there`];
      return state === "absent" && found.has(user) ? [`${user} was deleted and is there`] : [];
    });
  }

  keysIn(state: "valid" | "revoked"): MadeKey[] {
    return [...this.#keys.values()].filter((one) => one.state === state).map(({ key }) => key);
  }
}

export interface NodeFindings {
  /** Missing acknowledged writes, or why the node could not be asked. */
  readonly lost: readonly string[];
  readonly acceptedRevoked: readonly string[];
}

const catchUpTimeoutMs = 60_000;
const keysAbreast = 10;

/** Waits until the others have the primary's state, then checks. */
export async function checkFinally(
  nodes: ReadonlyMap<NodeName, NodeProcess>,
  ledger: Ledger,
  adminKey: string,
): Promise<Readonly<Record<string, NodeFindings>>> {
  const wanted = (await nodes.get("primary")?.health())?.offset ?? undefined;
  const findings: Record<string, NodeFindings> = {};
  for (const name of nodeNames) {
    const node = nodes.get(name);
    if (node === undefined) continue;
    try {
      if (wanted === undefined) throw new Error("the primary does not say where its log ends");
      await node.ready(({ ok, offset }) => ok && (offset ?? -1) >= wanted, catchUpTimeoutMs);
      const valid = ledger.keysIn("valid");
      const accepted = new Set(await acceptedKeys(node.url, valid));
      const lostKeys = valid.filter(({ id }) => !accepted.has(id)).map(({ id }) => `the key ${id} is not accepted`);
      const earlier = name === "primary" ? ledger.acceptedRevoked : [];
      findings[name] = {
        lost: [...ledger.problemsWith(await writtenUsers(node.url, adminKey)), ...lostKeys],
        acceptedRevoked: [...earlier, ...(await acceptedKeys(node.url, ledger.keysIn("revoked")))],
      };
    } catch (error) {
      const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
      findings[name] = { lost: [reason], acceptedRevoked: [] };
    }
  }
  return findings;
}

async function writtenUsers(url: string, key: string): Promise<ReadonlySet<string>> {
  const query = new URLSearchParams({
    predicate: "has_role",
    "args.2.type": "Repository",
    "args.2.id": writtenRepository,
  });
  const answer = await fetch(`${url}/api/facts?${query}`, {
    headers: { Authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(30_000),
  });
  if (!answer.ok) throw new Error(`GET /api/facts was answered with ${answer.status}: ${await answer.text()}`);
  const facts = (await answer.json()) as readonly { readonly args: readonly { readonly id: string }[] }[];
  return new Set(facts.map(({ args }) => args[0]?.id ?? ""));
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
