/**
 * An edge answers each request under exactly one policy, with the facts of the same position. Policies and facts change
 * in turns, and each answer names both: policy `k` allows the action `k-j` to readers of marker `j`. Before the upload
 * of policy `k` the only marker is `k - 1`, and the next event replaces it by `k`.
 */
import { expect, test } from "bun:test";
import { must } from "../../src/util/assert.ts";
import { apiOf, clientOf, type Api } from "../http/api.ts";
import { converged, eventually, untraced, withCluster } from "./cluster.ts";

const rounds = 20;
const numbers = Array.from({ length: rounds + 1 }, (_, index) => index);

function policyOf(k: number): string {
  const actions = numbers.map((j) => `"${k}-${j}"`);
  return `
actor User {}
resource Doc {
  roles = [${numbers.map((j) => `"m${j}"`).join(", ")}];
  permissions = [${actions.join(", ")}];
  ${actions.map((action, j) => `${action} if "m${j}";`).join("\n  ")}
}`;
}

function marker(j: number) {
  const [user, name, doc] = [
    { type: "User", id: "u" },
    { type: "String", id: `m${j}` },
    { type: "Doc", id: "d" },
  ];
  return { predicate: "has_role", args: [user, name, doc] };
}

/** The actions that were possible at one moment, in order: (1, 0), (1, 1), (2, 1), (2, 2)… */
const possible = numbers.slice(1).flatMap((k) => [`${k}-${k - 1}`, `${k}-${k}`]);

const actor = { actor_type: "User", actor_id: "u" };
const resource = { resource_type: "Doc", resource_id: "d" };

/** Asks until `isOver`. Each answer must be one of the possible ones, and not be older than the one before. */
async function askAll(edge: Api, isOver: () => boolean): Promise<ReadonlySet<string>> {
  const seen = new Set<string>();
  let last = 0;
  do {
    const { json } = await edge.call("POST", "/api/actions", { body: { ...actor, ...resource } });
    const { results } = json as { results: string[] };
    expect(results).toHaveLength(1);
    const at = possible.indexOf(must(results[0]));
    expect([results, at >= last]).toEqual([results, true]);
    last = at;
    seen.add(must(results[0]));
  } while (!isOver());
  return seen;
}

/** The answer to a question of several calls, and a decision about each action, have one state as well. */
async function queryAll(edge: Api, isOver: () => boolean): Promise<void> {
  let last = 0;
  do {
    const { json } = await edge.call("POST", "/api/evaluate_query", {
      body: {
        predicate: ["has_permission", ["user", "action", "doc"]],
        calls: [["has_role", ["user", "role", "doc"]]],
        constraints: {
          user: { type: "User", ids: ["u"] },
          action: { type: "String", ids: null },
          role: { type: "String", ids: null },
          doc: { type: "Doc", ids: ["d"] },
        },
        context_facts: [],
      },
    });
    const { results } = json as { results: { action: string; role: string }[] };
    expect(results).toHaveLength(1);
    const { action, role } = must(results[0]);
    expect(role).toBe(`m${action.split("-")[1]}`);
    const at = possible.indexOf(action);
    expect([action, at >= last]).toEqual([action, true]);
    last = at;
  } while (!isOver());
}

test("an edge under load answers each request under one policy, with the facts of the same position", () =>
  withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const load = (k: number) =>
      primary.node.writes.policy({ source: policyOf(k), filename: null, force: false }, untraced);
    const replace = (j: number) =>
      primary.node.writes.batch([{ deletes: [marker(j - 1)] }, { inserts: [marker(j)] }], untraced);
    await load(1);
    await primary.node.writes.batch([{ inserts: [marker(0)] }], untraced);
    const edge = apiOf(await cluster.edge("edge", primary));
    await eventually(() => expect(edge.node.health().ok).toBe(true));
    await converged(edge.node, primary.node);

    let isOver = false;
    const readers = [1, 2, 3].map(() => askAll(edge, () => isOver));
    const queries = queryAll(edge, () => isOver);
    const ended = Promise.allSettled([...readers, queries]);
    try {
      for (const k of numbers.slice(1)) {
        if (k > 1) await load(k);
        await replace(k);
        // The other readers ask without pause, and this one proves that the edge is not far behind.
        const { epoch, offset } = primary.node.health();
        const token = { OsoOffset: `${epoch}:${offset}` };
        const body = { ...actor, ...resource, action: `${k}-${k}` };
        const answer = await edge.call("POST", "/api/authorize", { body, headers: token });
        expect([answer.status, answer.json]).toEqual([200, { allowed: true }]);
      }
    } finally {
      isOver = true;
      await ended;
    }
    const seen = await Promise.all(readers);
    await queries;
    // The test would prove nothing if the readers had seen only the beginning and the end.
    expect(new Set(seen.flatMap((each) => [...each])).size).toBeGreaterThan(4);
    const decided = await clientOf(edge.url).actions({ type: "User", id: "u" }, { type: "Doc", id: "d" });
    expect(decided).toEqual([`${rounds}-${rounds}`]);
  }));
