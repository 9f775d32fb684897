/**
 * A history: a sequence of steps that happen to a node, and of questions in between. As a file it is YAML like a case,
 * with the notation of cases for facts and questions:
 *
 *   policies: { first: "actor User {} …" }
 *   steps:
 *     - policy: first                                      # becomes active
 *     - write:                                             # one batch
 *         - insert has_role(User:ann, reader, Folder:a)
 *         - delete has_relation(Folder:*, *, *:*)          # any id of a type, any String, any value
 *     - undone: ["delete has_role(User:ann, reader, *:*)"] # a batch whose transaction is rolled back
 *     - undone policy: first
 *     - clear
 *     - now: 1700000000                                    # the time, 0 at first
 *     - turn                                               # one turn of the event loop
 *     - ask: { context: [], allowed: [User:ann read Folder:a], denied: [], queries: [list: User:ann read Folder] }
 */
import * as Bun from "bun";
import { z } from "zod";
import type { FactChange } from "../../src/log/event/event.ts";
import type { Fact, FactPattern } from "../../src/store/facts/fact.ts";
import { must } from "../../src/util/assert.ts";
import {
  type Check,
  parseCheck,
  parseFact,
  parseQuestion,
  printCheck,
  printFact,
  printValue,
  question,
} from "../cases/case.ts";
import { printCalls, printRanges } from "../fuzz/print-case.ts";
import type { Asked } from "../fuzz/questions.ts";

export type Step =
  | { readonly kind: "policy"; readonly policy: string; readonly undone: boolean }
  | { readonly kind: "write"; readonly changes: readonly FactChange[]; readonly undone: boolean }
  | { readonly kind: "clear" }
  | { readonly kind: "clock"; readonly now: number }
  | { readonly kind: "turn" }
  | {
      readonly kind: "ask";
      readonly contextFacts: readonly Fact[];
      readonly allowed: readonly Check[];
      readonly denied: readonly Check[];
      /** Questions whose answers only the oracle knows. */
      readonly questions: readonly OpenQuestion[];
    };

/** A question whose answer is not only yes or no. */
export type OpenQuestion = Exclude<Asked, { kind: "authorize" }>;

export interface History {
  readonly name: string;
  /** The policies, by the names that steps use. */
  readonly policies: ReadonlyMap<string, string>;
  readonly steps: readonly Step[];
}

const texts = z.array(z.string());
const stepFile = z.union([
  z.enum(["clear", "turn"]),
  z.strictObject({ policy: z.string() }),
  z.strictObject({ "undone policy": z.string() }),
  z.strictObject({ write: texts }),
  z.strictObject({ undone: texts }),
  z.strictObject({ now: z.number().int() }),
  z.strictObject({
    ask: z.strictObject({
      context: texts.default([]),
      allowed: texts.default([]),
      denied: texts.default([]),
      queries: z.array(question).default([]),
    }),
  }),
]);
const historyFile = z.strictObject({
  name: z.string(),
  policies: z.record(z.string(), z.string()),
  steps: z.array(stepFile),
});

export function parseHistory(text: string): History {
  const { name, policies, steps } = historyFile.parse(Bun.YAML.parse(text));
  return { name, policies: new Map(Object.entries(policies)), steps: steps.map(parseStep) };
}

function parseStep(step: z.infer<typeof stepFile>): Step {
  if (typeof step === "string") return { kind: step };
  if ("policy" in step) return { kind: "policy", policy: step.policy, undone: false };
  if ("undone policy" in step) return { kind: "policy", policy: step["undone policy"], undone: true };
  if ("write" in step) return { kind: "write", changes: step.write.map(parseChange), undone: false };
  if ("undone" in step) return { kind: "write", changes: step.undone.map(parseChange), undone: true };
  if ("now" in step) return { kind: "clock", now: step.now };
  const contextFacts = step.ask.context.map(parseFact);
  return {
    kind: "ask",
    contextFacts,
    allowed: step.ask.allowed.map(parseCheck),
    denied: step.ask.denied.map(parseCheck),
    questions: step.ask.queries.map((asked) => parseQuestion(asked, contextFacts)),
  };
}

function parseChange(text: string): FactChange {
  const [, verb, rest] = must(/^(insert|delete) (.*)$/su.exec(text), `a change is an insert or a delete: ${text}`);
  const fact = parseFact(must(rest));
  return verb === "insert" ? { inserts: [fact] } : { deletes: [patternOf(fact)] };
}

function patternOf({ predicate, args }: Fact): FactPattern {
  const open = (text: string): string | null => (text === "*" ? null : text);
  return { predicate, args: args.map(({ type, id }) => ({ type: open(type), id: open(id) })) };
}

export function printHistory({ name, policies, steps }: History): string {
  return [
    `name: ${name}`,
    "policies:",
    ...[...policies].flatMap(([key, text]) => [
      `  ${key}: |`,
      ...text
        .trimEnd()
        .split("\n")
        .map((line) => `    ${line}`),
    ]),
    "steps:",
    ...steps.flatMap(printStep),
    "",
  ].join("\n");
}

function printStep(step: Step): string[] {
  switch (step.kind) {
    case "policy":
      return [`  - ${step.undone ? "undone policy" : "policy"}: ${step.policy}`];
    case "write":
      return [
        `  - ${step.undone ? "undone" : "write"}:`,
        ...step.changes.flatMap(printChange).map((line) => `      - ${line}`),
      ];
    case "clear":
    case "turn":
      return [`  - ${step.kind}`];
    case "clock":
      return [`  - now: ${step.now}`];
    case "ask":
      return [
        "  - ask:",
        ...printList("context", step.contextFacts.map(printFact)),
        ...printList("allowed", step.allowed.map(printCheck)),
        ...printList("denied", step.denied.map(printCheck)),
        ...printList("queries", step.questions.map(printQuestion)),
      ];
  }
}

function printChange(change: FactChange): string[] {
  if ("inserts" in change) return change.inserts.map((fact) => `insert ${printFact(fact)}`);
  return change.deletes.map(({ predicate, args }) => `delete ${predicate}(${args.map(printOpen).join(", ")})`);
}

function printOpen({ type, id }: FactPattern["args"][number]): string {
  if (id === null) return `${type ?? "*"}:*`;
  return printValue({ type: must(type, "a value has a type"), id });
}

function printList(key: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [`      ${key}:`, ...items.map((item) => `        - ${item}`)];
}

function printQuestion(asked: OpenQuestion): string {
  switch (asked.kind) {
    case "list":
      return `list: ${printValue(asked.actor)} ${printValue({ type: "String", id: asked.action })} ${asked.type}`;
    case "actions":
      return `actions: ${printValue(asked.actor)} ${printValue(asked.resource)}`;
    case "query":
      return `{ query: ${JSON.stringify(printCalls(asked.query))}, where: { ${printRanges(asked.query)} } }`;
  }
}
