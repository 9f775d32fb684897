/**
 * A case file: a policy, facts, questions and their answers. The oracle and every engine are asked the questions of the
 * same file.
 *
 * Values are written `User:alice`; a single word is a String, `42` an Integer, `true` a Boolean. Values with blanks or
 * commas are quoted as in JSON (`User:"a b"`). Facts are written `has_role(User:alice, admin, Org:acme)`, checks
 * `User:alice read Repo:anvil`.
 */
import * as Bun from "bun";
import { z } from "zod";
import type { Query, QueryRow } from "../../src/engine/request/questions.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { assert, must } from "../../src/util/assert.ts";

const answer = { expect: z.array(z.string()).optional(), error: z.string().optional() };
export const question = z.union([
  z.strictObject({ list: z.string(), ...answer }),
  z.strictObject({ actions: z.string(), ...answer }),
  z.strictObject({
    query: z.string(),
    /**
     * By variable: `Type` for any value of the type, `Type:id` for one value, a list for several, `Type []` for none.
     */
    where: z.record(z.string(), z.union([z.string(), z.array(z.string())])),
    /** Rows over the variables that are not fixed to one value; `"*"` is any value. Without rows the oracle decides. */
    expect: z.array(z.record(z.string(), z.string())).optional(),
    error: z.string().optional(),
  }),
]);

const caseFile = z.strictObject({
  name: z.string(),
  policy: z.string(),
  facts: z.array(z.string()).default([]),
  context: z.array(z.string()).default([]),
  now: z.number().int().default(1_700_000_000),
  allowed: z.array(z.string()).default([]),
  denied: z.array(z.string()).default([]),
  queries: z.array(question).default([]),
});

export interface Check {
  readonly actor: Value;
  readonly action: string;
  readonly resource: Value;
}

/** The rows that answer a question, the code of the error, or nothing if the oracle decides. */
export type Expected = { readonly rows: readonly QueryRow[] } | { readonly error: string } | undefined;

/** `query` asks the same as `list` or `actions`: `allow` with one open variable. */
export type Question = { readonly text: string; readonly query: Query; readonly expected: Expected } & (
  | { readonly kind: "list"; readonly actor: Value; readonly action: string; readonly type: string }
  | { readonly kind: "actions"; readonly actor: Value; readonly resource: Value }
  | { readonly kind: "query" }
);

export interface Case {
  readonly name: string;
  readonly policy: string;
  readonly facts: readonly Fact[];
  readonly contextFacts: readonly Fact[];
  readonly now: number;
  readonly allowed: readonly Check[];
  readonly denied: readonly Check[];
  readonly questions: readonly Question[];
}

export function parseCase(text: string): Case {
  const file = caseFile.parse(Bun.YAML.parse(text));
  const contextFacts = file.context.map(parseFact);
  return {
    name: file.name,
    policy: file.policy,
    facts: file.facts.map(parseFact),
    contextFacts,
    now: file.now,
    allowed: file.allowed.map(parseCheck),
    denied: file.denied.map(parseCheck),
    questions: file.queries.map((asked) => parseQuestion(asked, contextFacts)),
  };
}

export function parseQuestion(asked: z.infer<typeof question>, contextFacts: readonly Fact[]): Question {
  if ("query" in asked) {
    const query = parseQuery(asked.query, asked.where, contextFacts);
    return { kind: "query", text: asked.query, query, expected: expected(asked, (row) => row) };
  }
  if ("actions" in asked) {
    const [actor, resource] = words(asked.actions).map(parseValue);
    assert(actor !== undefined && resource !== undefined, `actions of an actor on a resource: ${asked.actions}`);
    const query = allowQuery(actor, null, { type: resource.type, ids: [resource.id] }, contextFacts);
    const rows = expected(asked, (action: string) => ({ actor: actor.id, action, resource: resource.id }));
    return { kind: "actions", text: `actions ${asked.actions}`, actor, resource, query, expected: rows };
  }
  const [actor, action, type] = words(asked.list);
  const subject = parseValue(must(actor));
  const verb = parseValue(must(action)).id;
  const query = allowQuery(subject, verb, { type: must(type), ids: null }, contextFacts);
  const rows = expected(asked, (id: string) => ({ actor: subject.id, action: verb, resource: id }));
  return {
    kind: "list",
    text: `list ${asked.list}`,
    actor: subject,
    action: verb,
    type: must(type),
    query,
    expected: rows,
  };
}

export function allowQuery(
  actor: Value,
  action: string | null,
  resource: { readonly type: string; readonly ids: readonly string[] | null },
  contextFacts: readonly Fact[],
): Query {
  return {
    calls: [{ predicate: "allow", variables: ["actor", "action", "resource"] }],
    variables: new Map([
      ["actor", { type: actor.type, ids: [actor.id] }],
      ["action", { type: "String", ids: action === null ? null : [action] }],
      ["resource", resource],
    ]),
    contextFacts,
  };
}

function expected<Answer>(
  asked: { expect?: readonly Answer[] | undefined; error?: string | undefined },
  rowOf: (answer: Answer) => Record<string, string>,
): Expected {
  if (asked.error !== undefined) return { error: asked.error };
  return asked.expect && { rows: asked.expect.map((answer) => starsToNull(rowOf(answer))) };
}

function starsToNull(row: Record<string, string>): QueryRow {
  return Object.fromEntries(Object.entries(row).map(([name, id]) => [name, id === "*" ? null : id]));
}

export function parseFact(text: string): Fact {
  const { name, args } = parseCall(text);
  return { predicate: name, args: args.map(parseValue) };
}

export function parseCheck(text: string): Check {
  const [actor, action, resource, ...rest] = words(text).map(parseValue);
  if (rest.length > 0) throw new Error(`not a check: ${text}`);
  return { actor: must(actor, text), action: must(action, text).id, resource: must(resource, text) };
}

function parseQuery(text: string, where: Record<string, string | string[]>, contextFacts: readonly Fact[]): Query {
  const calls = text.split(" and ").map((call) => {
    const { name, args } = parseCall(call.trim());
    return { predicate: name, variables: args };
  });
  const variables = new Map(Object.entries(where).map(([name, range]) => [name, parseRange(range)]));
  return { calls, variables, contextFacts };
}

function parseRange(range: string | string[]): { type: string; ids: string[] | null } {
  if (typeof range === "string") {
    if (range.endsWith(" []")) return { type: range.slice(0, -3), ids: [] };
    if (!range.includes(":")) return { type: range, ids: null };
  }
  const values = [range].flat().map(parseValue);
  return { type: must(values[0]).type, ids: values.map((value) => value.id) };
}

const word = /(?:[^\s,()":]|::)+:"(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.)*"|[^\s,()]+/gu;

function words(text: string): string[] {
  return text.match(word) ?? [];
}

function parseCall(text: string): { name: string; args: string[] } {
  const match = /^([^\s()]+)\((.*)\)$/su.exec(text.trim());
  if (match === null) throw new Error(`not a call: ${text}`);
  return { name: must(match[1]), args: words(must(match[2])) };
}

function parseValue(text: string): Value {
  if (text.startsWith('"')) return { type: "String", id: unquote(text) };
  const match = /^((?:[^:"]|::)+):(?!:)(.+)$/su.exec(text);
  if (match !== null) return { type: must(match[1]), id: unquote(must(match[2])) };
  if (/^-?\d+$/u.test(text)) return { type: "Integer", id: text };
  return { type: text === "true" || text === "false" ? "Boolean" : "String", id: text };
}

function unquote(text: string): string {
  return text.startsWith('"') ? z.string().parse(JSON.parse(text)) : text;
}

/** A fact or value in the notation of case files. */
export function printFact(fact: Fact): string {
  return `${fact.predicate}(${fact.args.map(printValue).join(", ")})`;
}

export function printCheck({ actor, action, resource }: Check): string {
  return `${printValue(actor)} ${printValue({ type: "String", id: action })} ${printValue(resource)}`;
}

export function printValue({ type, id }: Value): string {
  const text = /^[\p{L}\p{N}_.*-]+$/u.test(id) ? id : JSON.stringify(id);
  if (type === "String") return /^-?\d+$|^true$|^false$/u.test(id) ? JSON.stringify(id) : text;
  return type === "Integer" || type === "Boolean" ? id : `${type}:${text}`;
}
