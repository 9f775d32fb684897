/** How long requests of one environment take while another one of the same node is flooded, and without that. */
import * as Bun from "bun";
import { join } from "node:path";
import type { NodeProcess } from "../node-process.ts";
import { call, environmentsOf } from "./environments.ts";
import type { FloodPlan } from "./flood.ts";
import type { Nodes } from "./nodes.ts";
import { patienceMs } from "./starting.ts";
import { timesOf, type Times } from "./timing.ts";

export interface Fairness {
  readonly flood: string;
  readonly alone: Times;
  readonly flooded: Times;
}

const user = { type: "User", id: "ann" };
const roleIn = (id: string) => ({
  predicate: "has_role",
  args: [user, { type: "String", id: "reader" }, { type: "Repository", id }],
});
const policy = `
actor User {}
resource Repository { permissions = ["read"]; roles = ["reader"]; "read" if "reader"; }
`;
const actor = { actor_type: "User", actor_id: "ann", action: "read", context_facts: [] };

const floods: Readonly<Record<string, { readonly path: string; readonly body: unknown }>> = {
  "questions of one resource": {
    path: "/api/authorize",
    body: { ...actor, resource_type: "Repository", resource_id: "r#" },
  },
  "lists of 1,000 resources": { path: "/api/list", body: { ...actor, resource_type: "Repository" } },
  writes: { path: "/api/batch", body: [{ inserts: [roleIn("new#")] }] },
};

/** Starts the primary. Each flood has 200 connections; the other environment asks one question after the other. */
export async function measureFairness(nodes: Nodes, questions: number): Promise<Fairness[]> {
  const { primary } = nodes;
  await primary.start(undefined, patienceMs);
  const [flooded = "", other = ""] = await environmentsOf(nodes, 2);
  for (const key of [flooded, other]) {
    await call(primary, key, "POST", "/api/policy", { src: policy });
    const inserts = Array.from({ length: 1000 }, (_, index) => roleIn(`r${index}`));
    await call(primary, key, "POST", "/api/batch", [{ inserts }]);
  }
  const ask = (): Promise<number[]> => timeQuestions(primary, other, questions);
  await ask();
  const results: Fairness[] = [];
  for (const [flood, { path, body }] of Object.entries(floods)) {
    const plan = { url: primary.url + path, key: flooded, connections: 200, body: JSON.stringify(body) };
    const taken: Record<"alone" | "flooded", number[]> = { alone: [], flooded: [] };
    for (let round = 0; round < rounds; round++) {
      taken.alone.push(...(await ask()));
      taken.flooded.push(...(await during(plan, ask)));
    }
    results.push({ flood, alone: timesOf(taken.alone), flooded: timesOf(taken.flooded) });
  }
  return results;
}

const rounds = 3;
/** All connections of the flood are open by then. */
const rampUpMs = 1000;

async function during<Result>(plan: FloodPlan, body: () => Promise<Result>): Promise<Result> {
  const flood = Bun.spawn([process.execPath, join(import.meta.dirname, "flood.ts")], {
    stdin: new Blob([JSON.stringify(plan)]),
    stdout: "pipe",
    stderr: "inherit",
  });
  const kill = (): void => flood.kill();
  process.once("exit", kill);
  try {
    await flood.stdout.getReader().read();
    await Bun.sleep(rampUpMs);
    return await body();
  } finally {
    kill();
    await flood.exited;
    process.removeListener("exit", kill);
  }
}

async function timeQuestions(node: NodeProcess, key: string, count: number): Promise<number[]> {
  const taken: number[] = [];
  for (let index = 0; index < count; index++) {
    const question = { ...actor, resource_type: "Repository", resource_id: `r${index % 1000}` };
    const beginMs = performance.now();
    await call(node, key, "POST", "/api/authorize", question);
    taken.push(performance.now() - beginMs);
  }
  return taken;
}
