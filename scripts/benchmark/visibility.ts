/**
 * The time from the commit on the primary to visibility on an edge, measured by one client. Before each write it sends a
 * read with the consistency token of that write to the edge, which answers when its database contains the write. Both
 * answers arrive over the same kind of connection, so their difference is the delay of replication.
 */
import * as Bun from "bun";
import { formatToken } from "../../src/log/event/position.ts";
import type { Value } from "../../src/store/facts/fact.ts";
import type { NodeProcess } from "../node-process.ts";
import type { Nodes } from "./nodes.ts";
import { bodyOf } from "./questions.ts";
import { timesOf, type Times } from "./timing.ts";

export interface Visibility {
  /** Milliseconds from sending a write to the primary's answer, which comes after its commit. */
  readonly committed: Times;
  /** Milliseconds from sending a write to the answer of an edge that contains it. */
  readonly visible: Times;
  /** Milliseconds between the primary's answer and the edge's; negative if the edge answers first. */
  readonly difference: Times;
}

/** Pauses between writes, so that each read waits before its write begins. */
const pauseMs = 5;
const warmUpWrites = 20;

export async function measureVisibility(nodes: Nodes, writes: number): Promise<Visibility> {
  const [committed, visible, difference]: [number[], number[], number[]] = [[], [], []];
  for (let write = -warmUpWrites; write < writes; write++) {
    const token = await nextToken(nodes.primary);
    const read = ask(nodes, token, write);
    await Bun.sleep(pauseMs);
    const sentMs = performance.now();
    const [committedMs, visibleMs] = await Promise.all([insert(nodes, token, write), read]);
    if (write < 0) continue;
    committed.push(committedMs - sentMs);
    visible.push(visibleMs - sentMs);
    difference.push(visibleMs - committedMs);
  }
  return { committed: timesOf(committed), visible: timesOf(visible), difference: timesOf(difference) };
}

async function nextToken(primary: NodeProcess): Promise<string> {
  const health = await primary.health();
  if (health === undefined || health.epoch === null || health.offset === null)
    throw new Error("the primary does not say where it stands");
  return formatToken(health.epoch, health.offset + 1);
}

/** The time of the edge's answer that requires this write. */
async function ask({ edge, adminKey }: Nodes, token: string, write: number): Promise<number> {
  const body = bodyOf({ ...newcomer(write), action: "write", contextFacts: [] });
  const response = await post(edge, "/api/authorize", adminKey, body, { OsoOffset: token });
  const answer = await response.text();
  const arrivedMs = performance.now();
  if (answer !== '{"allowed":true}') throw new Error(`the edge answered without the write: ${answer}`);
  return arrivedMs;
}

async function insert({ primary, adminKey }: Nodes, token: string, write: number): Promise<number> {
  const { actor, resource } = newcomer(write);
  const fact = { predicate: "has_role", args: [actor, { type: "String", id: "writer" }, resource] };
  const response = await post(primary, "/api/batch", adminKey, JSON.stringify([{ inserts: [fact] }]));
  await response.text();
  const arrivedMs = performance.now();
  if (response.headers.get("osooffset") !== token) throw new Error("the write has another position than expected");
  return arrivedMs;
}

const newcomer = (write: number): { readonly actor: Value; readonly resource: Value } => ({
  actor: { type: "User", id: `newcomer-${write}` },
  resource: { type: "Repository", id: "repository-0" },
});

function post(
  { url }: NodeProcess,
  path: string,
  key: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json", ...headers },
    body,
  });
}
