/**
 * Prints how each node gets events when that changes, and when a node ends, so that users can stop a node and watch the
 * others.
 */
import * as Bun from "bun";
import type { NodeProcess } from "../node-process.ts";

const intervalMs = 1000;

/** Watches until `stop` is called. The first states are not printed. */
export function watchNodes(nodes: readonly NodeProcess[], say: (text: string) => void): { stop(): void } {
  const known = new Map<string, string | undefined>();
  let stopped = false;
  const look = async (node: NodeProcess): Promise<void> => {
    const state = node.running
      ? ((await node.health())?.following ?? known.get(node.name))
      : `it ended with ${node.ending}`;
    if (stopped) return;
    if (known.has(node.name) && state !== known.get(node.name)) say(`${node.name}: ${state}`);
    known.set(node.name, state);
  };
  void (async () => {
    for (; !stopped; await Bun.sleep(intervalMs)) await Promise.all(nodes.map(look));
  })();
  return { stop: () => void (stopped = true) };
}
