/** Readers of `GET /api/nodes` and `GET /api/events/:offset/applied` for tests. */
import { expect } from "bun:test";
import type { Api } from "./api.ts";

export interface ListedNode {
  readonly node: string;
  readonly role: string;
  readonly version: string | null;
  readonly state: string | null;
  readonly ready: boolean | null;
  readonly offset: number | null;
  readonly lag_events: number | null;
  readonly seen_ms_ago: number;
  readonly answered: boolean;
  readonly brokers: readonly { readonly connected: boolean }[];
  readonly node_keys?: readonly string[];
}

export interface Applied {
  readonly committed: string | null;
  readonly nodes: readonly {
    readonly node: string;
    readonly role: string;
    readonly has_event: boolean | null;
    readonly after_ms: number | null;
    readonly answered: boolean;
  }[];
}

export async function nodesOf({ call }: Api): Promise<readonly ListedNode[]> {
  const { status, json } = await call("GET", "/api/nodes");
  expect(status).toBe(200);
  return (json as { readonly nodes: readonly ListedNode[] }).nodes;
}

export async function appliedOf({ call }: Api, offset: number): Promise<Applied> {
  const { status, json } = await call("GET", `/api/events/${offset}/applied`);
  expect(status).toBe(200);
  return json as Applied;
}
