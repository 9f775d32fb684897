/**
 * The case files on running nodes: a primary that is written to through its API, an edge that receives its events from
 * a broker, and a fallback that fetches a snapshot. Only the questions that the files name are asked; `cases.test.ts`
 * asks the engine everything that follows from their values. Every second file is chosen by a hash of the tree; `CASES=all`
 * takes all files.
 */
import * as Bun from "bun";
import { expect, test } from "bun:test";
import { Glob } from "bun";
import { join } from "node:path";
import type { Node } from "../src/replication/node.ts";
import { parseCase, type Case } from "./cases/case.ts";
import { compilePolicy } from "./cases/compile-policy.ts";
import { httpTarget } from "./cases/http-target.ts";
import { checkNamed, oracleOf } from "./cases/run.ts";
import { treeSeed } from "./seeds.ts";
import { adminKey, withCluster, type Cluster, type Running } from "./replication/cluster.ts";

const folder = join(import.meta.dirname, "cases");
const wanted = process.env["CASE"] ?? "";
const isWhole = wanted !== "" || process.env["CASES"] === "all";
const files = [...new Glob("**/*.yaml").scanSync(folder)]
  .filter((file) => file.includes(wanted))
  .sort()
  .filter((_, index) => isWhole || index % 2 === treeSeed % 2);

/** A fallback needs a second to see changes, so it gets only some of the cases. */
const fallbackEvery = 16;

test("cases on a primary and an edge, some on a fallback", async () => {
  await withCluster(async (cluster) => {
    const primary = await cluster.primary();
    const edge = await cluster.edge("edge", primary);
    const problems: string[] = [];
    for (const [index, file] of files.entries()) {
      const asked = parseCase(await Bun.file(join(folder, file)).text());
      // A running node uses the real time.
      if (asked.policy.includes("@current_unix_time")) continue;
      await edge.node.waitFor(await load(primary, asked));
      problems.push(...(await ask(file, asked, [primary, edge])));
      if (index % fallbackEvery === 0) problems.push(...(await askFallback(file, asked, primary, cluster)));
    }
    expect(problems).toEqual([]);
  });
}, 300_000);

/**
 * Stores the facts under a policy that only declares them, then loads the case's own policy, which might refuse some of
 * the facts. Returns the consistency token of the last write.
 */
async function load(primary: Running<Node>, { facts, policy }: Case): Promise<string> {
  await post(primary, "/api/clear_data", undefined);
  if (facts.length > 0) {
    const declarations = new Set(
      facts.map(({ predicate, args }) => `declare ${predicate}(${args.map(({ type }) => type).join(", ")});`),
    );
    await post(primary, "/api/policy", { src: [...declarations].join("\n"), filename: "declarations.polar" });
    await post(primary, "/api/batch", [{ inserts: facts }]);
  }
  return post(primary, "/api/policy", { src: policy, filename: "case.polar" });
}

async function post({ url }: Running<Node>, path: string, body: object | undefined): Promise<string> {
  const response = await fetch(url + path, {
    method: "POST",
    headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${path} ${response.status}: ${await response.text()}`);
  return response.headers.get("OsoOffset") ?? "";
}

async function ask(file: string, asked: Case, nodes: readonly Running<Node>[]): Promise<string[]> {
  const slow = oracleOf(compilePolicy(asked.policy), asked);
  const problems: string[] = [];
  for (const { node, url } of nodes) {
    const found = await checkNamed(asked, slow, httpTarget(url, adminKey, asked.contextFacts));
    problems.push(...found.map((problem) => `${file}, ${node.role}: ${problem}`));
  }
  return problems;
}

async function askFallback(file: string, asked: Case, primary: Running<Node>, cluster: Cluster): Promise<string[]> {
  const fallback = await cluster.fallback(primary);
  try {
    await reaches(fallback.node, primary.node);
    return await ask(file, asked, [fallback]);
  } finally {
    await fallback.stop();
  }
}

async function reaches(node: Node, other: Node): Promise<void> {
  for (const end = Date.now() + 45_000; node.health().digest !== other.health().digest; await Bun.sleep(5)) {
    if (Date.now() > end) throw new Error(`the ${node.role} did not come to the state of the ${other.role}`);
  }
}
