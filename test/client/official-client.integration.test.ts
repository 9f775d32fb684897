/**
 * The official client with `redundantFetch` and real nodes: a primary, two edges and a fallback, which stop one after
 * another.
 */
import { expect, test } from "bun:test";
import { Oso } from "oso-cloud";
import { redundantFetch } from "../../src/client/redundant-fetch.ts";
import type { Node } from "../../src/replication/node.ts";
import {
  adminKey,
  converged,
  loadPolicy,
  insert,
  mayRead,
  eventually,
  withCluster,
  type Running,
} from "../replication/cluster.ts";
import type { PrimaryNode } from "../../src/roles/primary.ts";

interface Nodes {
  readonly primary: Running<PrimaryNode>;
  readonly a: Running<Node>;
  readonly b: Running<Node>;
  readonly fallback: Running<Node>;
}

const User = (id: string) => ({ type: "User", id });
const main = { type: "Repo", id: "main" };
const reader = (user: string): [string, typeof main, string, typeof main] => ["has_role", User(user), "reader", main];

function withNodes(body: (nodes: Nodes) => Promise<void>): Promise<void> {
  return withCluster(async (cluster) => {
    const primary = await cluster.primary();
    await loadPolicy(primary.node);
    await insert(primary.node, "ann");
    const [a, b, fallback] = await Promise.all([
      cluster.edge("edge-a", primary),
      cluster.edge("edge-b", primary),
      cluster.fallback(primary),
    ]);
    await Promise.all([converged(a.node, primary.node), converged(b.node, primary.node)]);
    await eventually(() => expect(mayRead(fallback.node, "ann")).toBe(true));
    await body({ primary, a, b, fallback });
  });
}

function clientOf({ a, b, fallback }: Nodes): Oso {
  const fetchBuilder = redundantFetch([a.url, b.url], { fallback: fallback.url });
  return new Oso("http://client.invalid", adminKey, { fetchBuilder });
}

test("all kinds of calls work through it, and a read sees the previous write", () =>
  withNodes(async (nodes) => {
    const oso = clientOf(nodes);
    for (const user of ["bob", "eve"]) {
      await oso.insert(reader(user));
      expect(await oso.authorize(User(user), "read", main)).toBe(true);
    }
    expect(await oso.list(User("bob"), "read", "Repo")).toEqual(["main"]);
    expect(await oso.actions(User("bob"), main)).toEqual(["read"]);
    expect(await oso.get(reader("bob"))).toHaveLength(1);
    expect(Object.keys((await oso.getPolicyMetadata()).resources)).toContain("Repo");
    await oso.delete(reader("bob"));
    expect(await oso.authorize(User("bob"), "read", main)).toBe(false);
  }));

test("reads continue whichever node stops, writes while an edge and the primary run", () =>
  withNodes(async (nodes) => {
    const oso = clientOf(nodes);
    const stays = async (user: string): Promise<void> =>
      expect(await oso.authorize(User(user), "read", main)).toBe(true);
    await stays("ann");
    await nodes.a.stop();
    await stays("ann");
    await oso.insert(reader("bob"));
    await stays("bob");
    await eventually(() => expect(mayRead(nodes.fallback.node, "bob")).toBe(true));

    await nodes.primary.stop();
    await stays("bob");
    await expect(oso.insert(reader("eve"))).rejects.toThrow("primary can't be reached");
    await nodes.b.stop();
    await stays("bob");
    expect(await oso.authorize(User("eve"), "read", main)).toBe(false);
  }));

test.each([
  ["waits", 20],
  ["has answered that it is behind", 60_000],
])("a token that one edge has not reached is answered by the other while the first %s", (_, hedgeAfterMs) =>
  withCluster(async (cluster) => {
    const before = await cluster.primary();
    await loadPolicy(before.node);
    const a = await cluster.edge("edge-a", before, { "advanced.consistencyWait": "200ms" });
    await converged(a.node, before.node);
    // The primary is back at another address, which edge A does not know.
    await before.stop();
    const primary = await cluster.primary();
    const b = await cluster.edge("edge-b", primary);
    const fetchBuilder = redundantFetch([a.url, b.url], { hedgeAfterMs });
    const oso = new Oso("http://client.invalid", adminKey, { fetchBuilder });
    await expect(oso.insert(reader("late"))).rejects.toThrow("primary can't be reached");
    await oso.insert(reader("late"));
    expect(mayRead(a.node, "late")).toBe(false);
    expect(await oso.authorize(User("late"), "read", main)).toBe(true);
  }),
);
