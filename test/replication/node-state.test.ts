/** The state machine of a node: a table of each state with each input, properties of random sequences, and its picture. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Fencing,
  type NodeCommand,
  type NodeInput,
  type NodeState,
  transition,
} from "../../src/roles/node-state.ts";
import { expectGolden } from "../golden.ts";
import { Random } from "../sim/random.ts";

const position = { epoch: "0123456789abcdef", term: 5, offset: 10 };
const replaced: Fencing = {
  ...{ reason: "replaced", lacking: undefined, term: 5 },
  ...{ canFollow: true, mayReclaim: false },
};
const behind: Fencing = { ...replaced, reason: "behind", lacking: position, mayReclaim: true };
const damaged: Fencing = { ...replaced, reason: "damaged" };
const alone: Fencing = { ...replaced, canFollow: false };

const states = {
  "starting edge": { name: "starting", role: "edge", fencing: undefined },
  "starting primary": { name: "starting", role: "primary", fencing: undefined },
  "starting primary, fenced": { name: "starting", role: "primary", fencing: behind },
  "starting fallback": { name: "starting", role: "fallback", fencing: undefined },
  "promoting by votes": { name: "promoting", by: "votes", promotion: "p", fencing: undefined },
  "promoting by votes, fenced": { name: "promoting", by: "votes", promotion: "p", fencing: replaced },
  "promoting by history": { name: "promoting", by: "history", promotion: "p", fencing: undefined },
  "promoting by operator": { name: "promoting", by: "operator", promotion: "p", fencing: undefined },
  "promoting by operator, fenced": { name: "promoting", by: "operator", promotion: "p", fencing: alone },
  returning: { name: "returning", fencing: undefined },
  "returning, fenced": { name: "returning", fencing: alone },
  "steppingDown: replaced": { name: "steppingDown", fencing: replaced },
  "steppingDown: behind": { name: "steppingDown", fencing: behind },
  "steppingDown after a failed promotion": { name: "steppingDown", fencing: undefined },
  primary: { name: "primary" },
  fenced: { name: "fenced" },
  edge: { name: "edge" },
  fallback: { name: "fallback" },
  stopped: { name: "stopped", promoting: undefined },
  "stopped while promoting": {
    name: "stopped",
    promoting: { name: "promoting", by: "votes", promotion: "p", fencing: undefined },
  },
} as const satisfies Record<string, NodeState<string>>;

const promoted = { type: "promoted", promotion: "new", besides: 1 } as const;
const inputs = {
  started: { type: "started" },
  startFailed: { type: "startFailed" },
  retryDue: { type: "retryDue" },
  "fenced: replaced": { type: "fenced", fencing: replaced },
  "fenced: behind": { type: "fenced", fencing: behind },
  "fenced: damaged": { type: "fenced", fencing: damaged },
  "fenced: no node to follow": { type: "fenced", fencing: alone },
  "promoted by votes": { ...promoted, by: "votes" },
  "promoted by history": { ...promoted, by: "history" },
  "promoted by operator": { ...promoted, by: "operator" },
  stopped: { type: "stopped" },
} as const satisfies Record<string, NodeInput<string>>;

function stateText(state: NodeState<string>): string {
  const parts: string[] = [state.name];
  if (state.name === "starting") parts.push(state.role);
  if (state.name === "promoting") parts.push(`by ${state.by}`, state.promotion);
  if (state.name === "stopped" && state.promoting !== undefined) parts.push("while promoting");
  if ("fencing" in state && state.fencing !== undefined)
    parts.push(state.fencing.canFollow ? state.fencing.reason : "alone");
  return parts.join(" ");
}

function commandText(command: NodeCommand<string>): string {
  switch (command.type) {
    case "start":
      return `start ${command.role}${command.promotion === undefined ? "" : ` with ${command.promotion}`}`;
    case "end":
      return `end besides ${command.besides}`;
    case "resolvePromotion":
    case "rejectPromotion":
    case "refusePromotion":
      return `${command.type} ${command.promotion}`;
    default:
      return command.type;
  }
}

test("each state with each input", () => {
  const lines = Object.entries(states).flatMap(([name, state]) => [
    `${name}`,
    ...Object.entries(inputs).map(([input, value]) => {
      const next = transition<string>(state, value);
      const isSame = next.state === state && next.commands.length === 0;
      const commands = next.commands.map(commandText).join(", ");
      return `  ${input.padEnd(26)} ${isSame ? "-" : `${stateText(next.state)}${commands && `: ${commands}`}`}`;
    }),
    "",
  ]);
  expectGolden(join(import.meta.dir, "node-state.golden"), lines.join("\n"));
});

test("the picture in ARCHITECTURE.md has exactly the changes of state that the machine makes", () => {
  const arrows = new Set<string>();
  for (const state of Object.values(states) as readonly NodeState<string>[])
    for (const input of Object.values(inputs) as readonly NodeInput<string>[]) {
      const { name } = transition(state, input).state;
      if (name !== state.name && name !== "stopped") arrows.add(`${state.name} --> ${name}: ${input.type}`);
    }
  const text = readFileSync(join(import.meta.dir, "../../src/ARCHITECTURE.md"), "utf8");
  const [, picture = ""] = /```mermaid\nstateDiagram-v2\n([^`]*)```/.exec(text) ?? [];
  const drawn = picture.split("\n").flatMap((line) => /^ *(\w+ --> \w+: \w+)$/.exec(line)?.[1] ?? []);
  expect(drawn.toSorted()).toEqual([...arrows].toSorted());
});

/** What the loop does, without any role: it performs commands in order, and each start succeeds or fails by chance. */
class FakeLoop {
  state: NodeState<string> = { name: "starting", role: "edge", fencing: undefined };
  readonly queue: NodeCommand<string>[] = [{ type: "start", role: "edge", promotion: undefined }];
  readonly settled: string[] = [];
  readonly asked: string[] = [];
  /** The role that runs, and the one that answers. */
  running: string | undefined;
  serving: string | undefined;
  isRetryDue = false;

  send(input: NodeInput<string>): void {
    const { state, commands } = transition(this.state, input);
    this.state = state;
    this.queue.push(...commands);
  }

  /** With `stopsMeanwhile` the node is stopped while a role starts. */
  perform(succeeds: boolean, stopsMeanwhile = false): void {
    const command = this.queue.shift();
    switch (command?.type) {
      case "start":
        if (this.state.name === "stopped") {
          if (command.promotion !== undefined) this.settled.push(command.promotion);
          return;
        }
        // Two roles never run at the same time.
        expect(this.running).toBeUndefined();
        if (stopsMeanwhile) this.send({ type: "stopped" });
        if (succeeds) this.running = command.role;
        this.send({ type: succeeds ? "started" : "startFailed" });
        return;
      case "end":
        this.running = undefined;
        return;
      case "serve":
        this.serving = this.running;
        return;
      case "retryLater":
        this.isRetryDue = true;
        return;
      case "resolvePromotion":
      case "rejectPromotion":
      case "refusePromotion":
        this.settled.push(command.promotion);
    }
  }
}

test("in random sequences one role runs at a time, each promotion is settled once, and some role answers in the end", () => {
  for (let seed = 1; seed <= 2000; seed++) {
    const random = new Random(seed);
    const loop = new FakeLoop();
    for (let step = 0; step < 60; step++) {
      if (random.chance(0.6)) loop.perform(random.chance(0.6));
      else if (loop.isRetryDue) {
        loop.isRetryDue = false;
        loop.send({ type: "retryDue" });
      } else if (random.chance(0.4))
        loop.send({ type: "fenced", fencing: random.pick([replaced, behind, damaged, alone]) });
      else {
        const promotion = String(step);
        loop.asked.push(promotion);
        loop.send({ ...promoted, promotion, by: random.pick(["votes", "history", "operator"]) });
      }
    }
    const isStopped = random.chance(0.3);
    if (isStopped) {
      loop.perform(random.chance(0.5), true);
      loop.send({ type: "stopped" });
    }
    for (let step = 0; step < 100 && (loop.queue.length > 0 || loop.isRetryDue); step++) {
      if (loop.queue.length > 0) loop.perform(true);
      else {
        loop.isRetryDue = false;
        loop.send({ type: "retryDue" });
      }
    }
    expect(loop.settled.toSorted()).toEqual(loop.asked.toSorted());
    if (loop.state.name === "stopped") continue;
    expect(["primary", "edge", "fenced"]).toContain(loop.state.name);
    expect(loop.serving).toBe(loop.state.name === "edge" ? "edge" : "primary");
    expect(loop.running).toBe(loop.serving);
  }
});
