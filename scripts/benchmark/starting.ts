/** The time from the start of the process to the first answer, the memory at that time, and loading through the client. */
import * as Bun from "bun";
import { readFileSync } from "node:fs";
import { Oso, type IntoFact } from "oso-cloud";
import type { AuthorizeQuestion } from "../../src/engine/request/questions.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import type { NodeProcess } from "../node-process.ts";
import type { Nodes } from "./nodes.ts";
import { bodyOf } from "./questions.ts";
import { factsPerEvent, inChunks } from "./store-file.ts";
import { timesOf, type Times } from "./timing.ts";

const pauseMs = 1;
/** A large file is checked before the first answer. */
export const patienceMs = 120_000;

/** Starts the primary repeatedly on the same data; it runs afterwards. Memory is that of the last start. */
export async function timeStarts(nodes: Nodes, question: AuthorizeQuestion, starts: number): Promise<Times> {
  const taken: number[] = [];
  for (let start = 0; start < starts; start++) {
    await nodes.primary.stop();
    const beginMs = performance.now();
    nodes.primary.launch();
    await firstAnswer(nodes.primary, nodes.adminKey, question);
    taken.push(performance.now() - beginMs);
  }
  return timesOf(taken);
}

/** The decision, as soon as the node answers. */
export async function firstAnswer(node: NodeProcess, adminKey: string, question: AuthorizeQuestion): Promise<boolean> {
  const endMs = performance.now() + patienceMs;
  const headers = { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" };
  while (performance.now() < endMs && node.running) {
    const asked = fetch(`${node.url}/api/authorize`, { method: "POST", headers, body: bodyOf(question) });
    const answer = await asked.catch(() => undefined);
    if (answer?.ok) return ((await answer.json()) as { readonly allowed: boolean }).allowed;
    await answer?.text();
    await Bun.sleep(pauseMs);
  }
  throw new Error("a node gave no answer");
}

export interface Memory {
  /** Bytes: resident memory, and the part of it that is not pages of files. */
  readonly resident: number;
  readonly own: number;
}

/** Undefined if the system does not report it. */
export function memoryOf(pid: number | undefined): Memory | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return undefined;
  }
  const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]);
  return { resident: kilobytes("VmRSS") * 1024, own: kilobytes("RssAnon") * 1024 };
}

/** Seconds from the first batch to the last response, with the official client and batches of the maximum size. */
export async function loadThroughClient(
  { primary, adminKey }: Nodes,
  policy: string,
  facts: Iterable<Fact>,
): Promise<number> {
  const oso = new Oso(primary.url, adminKey);
  await oso.policy(policy);
  const begin = performance.now();
  for (const chunk of inChunks(facts, factsPerEvent)) {
    await oso.batch((batch) => {
      for (const { predicate, args } of chunk) batch.insert([predicate, ...args] as IntoFact);
      return Promise.resolve();
    });
  }
  return (performance.now() - begin) / 1000;
}
