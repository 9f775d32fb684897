/**
 * How long a new edge takes from the start of its process to its first right answer. The primary creates a snapshot, the
 * edge downloads, unpacks and checks it, on the same machine. The durations of the steps come from the logs of the nodes.
 */
import * as Bun from "bun";
import { rmSync } from "node:fs";
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import { must } from "../../src/util/assert.ts";
import type { NodeProcess } from "../node-process.ts";
import { fact, repository } from "./company.ts";
import type { Nodes } from "./nodes.ts";
import { firstAnswer, patienceMs } from "./starting.ts";

/** In milliseconds. */
export interface EdgeStart {
  readonly total: number;
  /** The primary creates the snapshot. */
  readonly made: number;
  readonly fetched: number;
  readonly unpacked: number;
  readonly checked: number;
  /** The start of the process, opening the database, and the question. */
  readonly rest: number;
}

/** The median of that many starts. Before each the primary gets a write, so that it creates a new snapshot. */
export async function timeEdgeStarts(nodes: Nodes, allowed: AuthorizeQuestion, starts: number): Promise<EdgeStart> {
  const { primary, edge, adminKey } = nodes;
  const loud = { OSTIARY_LOG_LEVEL: "info", OSTIARY_LOG_FORMAT: "json" };
  await primary.stop();
  primary.launch(loud);
  await primary.ready(undefined, patienceMs);
  const taken: EdgeStart[] = [];
  for (let start = 0; start < starts; start++) {
    await edge.stop();
    rmSync(edge.directory, { recursive: true, force: true });
    await insertOne(nodes, start);
    const beginMs = performance.now();
    edge.launch(loud);
    if (!(await firstAnswer(edge, adminKey, allowed))) throw new Error("the edge's first answer is wrong");
    const total = performance.now() - beginMs;
    const made = told(primary, "made a snapshot", "ms");
    const fetched = told(edge, "fetched a snapshot", "fetchMs") - made;
    const unpacked = told(edge, "installed a snapshot", "unpackMs");
    const checked = told(edge, "installed a snapshot", "checkMs");
    taken.push({ total, made, fetched, unpacked, checked, rest: total - made - fetched - unpacked - checked });
  }
  await edge.stop();
  return must(taken.toSorted((left, right) => left.total - right.total)[starts >> 1]);
}

async function insertOne({ primary, adminKey }: Nodes, number: number): Promise<void> {
  const response = await fetch(`${primary.url}/api/batch`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
    body: JSON.stringify([{ inserts: [fact("is_public", repository(-1 - number))] }]),
  });
  if (!response.ok) throw new Error(`a fact was refused: ${await response.text()}`);
  // A younger snapshot would be reused.
  await Bun.sleep(1500);
}

/** A number in the last line of the node's log whose message begins with the text. */
function told({ name, output }: NodeProcess, message: string, number: string): number {
  const lines = output.split("\n").filter((line) => line.includes(`"message":"${message}`));
  const value = (JSON.parse(lines.at(-1) ?? "{}") as Readonly<Record<string, unknown>>)[number];
  if (typeof value !== "number") throw new Error(`${name} did not say that it ${message}`);
  return value;
}
