/**
 * The first question of each shape after a start, beside later ones of the same shape: what a node compiles and plans
 * for it should be ready when `/readyz` says so.
 */
import type { NodeProcess } from "../node-process.ts";
import { companyOf } from "./company.ts";
import { type PairOptions, placeOf } from "./node-pairs.ts";
import { withNodes, type Nodes } from "./nodes.ts";
import { patienceMs } from "./starting.ts";
import { median, timesOf, type Times } from "./timing.ts";

export interface FirstQuestions {
  /** Milliseconds. */
  readonly first: Times;
  readonly later: Times;
  /** The p99 over all shapes and starts of the first answer's time, divided by the median of the later ones. */
  readonly firstOverLater: number;
}

/** What the example's policy declares. */
const permissions: Readonly<Record<string, readonly string[]>> = {
  Organization: ["read", "invite", "delete"],
  Team: ["read", "add_member"],
  Folder: ["read", "create_repository"],
  Repository: ["read", "write", "delete", "open_issue"],
  Issue: ["read", "comment", "close"],
};

interface Shape {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const shapes: readonly Shape[] = Object.entries(permissions).flatMap(([type, actions]) => [
  ...actions.map((action) => ({ path: "/api/authorize", body: { action, resource_type: type, resource_id: "1" } })),
  { path: "/api/list", body: { action: "read", resource_type: type } },
  { path: "/api/actions", body: { resource_type: type, resource_id: "1" } },
]);

const laterCount = 20;

export async function measureFirstQuestions(options: PairOptions): Promise<FirstQuestions> {
  const company = companyOf(options.facts, options.seed);
  const place = placeOf(options, "first-questions", company);
  const [first, later, ratios]: [number[], number[], number[]] = [[], [], []];
  await withNodes(options.binary, place, "off", async (nodes) => {
    for (let start = 0; start < (options.quick ? 3 : 10); start++) {
      await nodes.primary.start(undefined, patienceMs);
      await ready(nodes.primary);
      const firstOf = await askAll(nodes);
      const laterOf: number[][] = [];
      for (let count = 0; count < laterCount; count++) laterOf.push(await askAll(nodes));
      firstOf.forEach((taken, shape) => {
        const others = laterOf.map((round) => round[shape] ?? 0);
        first.push(taken);
        later.push(...others);
        ratios.push(taken / median(others));
      });
      await nodes.primary.stop();
    }
  });
  return { first: timesOf(first), later: timesOf(later), firstOverLater: timesOf(ratios).p99 };
}

async function ready({ url }: NodeProcess): Promise<void> {
  while (!(await fetch(`${url}/readyz`)).ok);
}

/** One question of each shape. The milliseconds that each takes, in the order of the shapes. */
async function askAll({ primary, adminKey }: Nodes): Promise<number[]> {
  const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
  const taken: number[] = [];
  for (const { path, body } of shapes) {
    const question = JSON.stringify({ actor_type: "User", actor_id: "user-1", ...body, context_facts: [] });
    const beginMs = performance.now();
    const answer = await fetch(primary.url + path, { method: "POST", headers, body: question });
    await answer.arrayBuffer();
    taken.push(performance.now() - beginMs);
    if (!answer.ok) throw new Error(`${path} was answered with ${answer.status}`);
  }
  return taken;
}
