/** API keys with grants, made over HTTP. */
import { expect } from "bun:test";
import { type Clock, systemClock } from "../../src/util/clock.ts";
import { SystemWithClock, withCluster } from "../replication/cluster.ts";
import { type Answer, type Api, apiOf } from "./api.ts";

export interface MadeKey {
  readonly id: string;
  readonly token: string;
  readonly expires?: string;
  readonly replaced_expires?: string;
}

export interface Grant {
  readonly role: string;
  readonly expires?: string;
  readonly only_predicates?: readonly string[];
  readonly only_types?: readonly string[];
}

type Caller = Pick<Api, "call">;

export async function grantKey(api: Caller, grant: Grant): Promise<MadeKey> {
  const answer = await api.call("POST", "/api/keys", { body: { name: "granted", grant } });
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining("token")]);
  return answer.json as MadeKey;
}

export async function rotateKey(api: Caller, id: string, body: object = {}): Promise<MadeKey> {
  const answer = await api.call("POST", `/api/keys/${id}/rotate`, { body });
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining("token")]);
  return answer.json as MadeKey;
}

export function withKey(token: string): { readonly authorization: string } {
  return { authorization: `Bearer ${token}` };
}

/** Asks for something that a key with the role `read` may do. */
export function readWith(api: Caller, token: string): Promise<Answer> {
  return api.call("GET", "/api/stats", { headers: withKey(token) });
}

export interface ListedKey {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly created: string;
  readonly last_used: string | null;
  readonly expires?: string;
  readonly expired?: true;
  readonly replaced_expires?: string;
}

export async function listedKey(api: Caller, id: string): Promise<ListedKey | undefined> {
  const { keys } = (await api.call("GET", "/api/keys")).json as { keys: ListedKey[] };
  return keys.find((key) => key.id === id);
}

/** A system whose timers of a minute or more wait for the test to advance its wall clock. */
class SystemWithLongTimers extends SystemWithClock {
  readonly #timers = new Map<() => void, number>();
  override readonly clock: Clock = {
    ...systemClock,
    wallMs: () => systemClock.wallMs() + this.aheadMs,
    after: (delayMs, body) => {
      if (delayMs < 60_000) return systemClock.after(delayMs, body);
      const call = (): void => body();
      this.#timers.set(call, this.clock.wallMs() + delayMs);
      return () => this.#timers.delete(call);
    },
  };

  advance(ms: number): void {
    this.aheadMs += ms;
    for (const [call, atMs] of this.#timers) {
      if (atMs > this.clock.wallMs()) continue;
      this.#timers.delete(call);
      call();
    }
  }
}

export async function withLongTimers(
  body: (api: Api, system: SystemWithLongTimers) => Promise<void>,
  flags: Readonly<Record<string, string>> = {},
): Promise<void> {
  const system = new SystemWithLongTimers();
  await withCluster(async (cluster) => body(apiOf(await cluster.primary({}, undefined, system)), system), flags);
}
