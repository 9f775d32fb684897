/**
 * Runs the `test` blocks of a policy (polar.md 10): each with its own facts and nothing else, on the real engine over a database in memory, so
 * that a test says what a node will say.
 */
import { defaultLimits, type Limits } from "../config/limits.ts";
import { normaliseGoal } from "../datalog/normalise.ts";
import type { Assertion, PolicyTest } from "../polar/policy.ts";
import { lineStarts, positionAt, type Source } from "../polar/source.ts";
import type { Span } from "../polar/span.ts";
import { openStore } from "../store/database.ts";
import { createState } from "../store/state.ts";
import { AppError } from "../util/app-error.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { joinSources } from "./active-policy.ts";
import { applyEvent } from "./apply.ts";
import { Engine } from "./engine.ts";
import type { Effect } from "./event.ts";
import type { Query } from "./questions.ts";

/** The shape that `POST /api/policy` and `ostiary test` answer with (http-api 2.1). */
export interface PolicyTestResult {
  readonly success: boolean;
  readonly errors: readonly {
    readonly error_type: "ValidationFailed" | "AssertionFailed" | "ServerError";
    readonly message: string;
  }[];
  readonly tests: readonly { readonly name: string; readonly passed: number; readonly total: number }[];
}

export interface PolicyTestOptions {
  readonly limits?: Limits;
  readonly clock?: () => number;
}

type Row = readonly (string | null)[];

export function runPolicyTests(
  active: ActivePolicy,
  sources: readonly Source[],
  options: PolicyTestOptions = {},
): PolicyTestResult {
  if (active.policy.tests.length === 0) return { success: true, errors: [], tests: [] };
  const store = openStore(":memory:");
  createState(store, "test", "test");
  const engine = new Engine(store, options);
  let offset = 0;
  const apply = (effect: Effect): void => {
    offset += 1;
    store.transaction(() => applyEvent(store, { offset, timeMs: 0, traceparent: null, effect }));
  };
  try {
    apply({ kind: "policy", id: 1, source: joinSources(sources), filename: null });
    const results = active.policy.tests.map((test) => {
      apply({
        kind: "facts",
        inserted: test.facts.map(({ predicate, args }) => ({
          predicate,
          args: args.map(({ type, id }) => ({ type, id })),
        })),
        deleted: [],
      });
      const result = runTest(test, active, engine, sources, options.limits ?? defaultLimits);
      apply({ kind: "clear" });
      return result;
    });
    const errors = results.flatMap((result) => result.errors);
    return {
      success: errors.length === 0,
      errors,
      tests: results.map(({ name, passed, total }) => ({ name, passed, total })),
    };
  } finally {
    engine.close();
  }
}

interface TestRun {
  readonly name: string;
  readonly passed: number;
  readonly total: number;
  readonly errors: PolicyTestResult["errors"];
}

function runTest(
  test: PolicyTest,
  active: ActivePolicy,
  engine: Engine,
  sources: readonly Source[],
  limits: Limits,
): TestRun {
  const errors = test.assertions.flatMap((assertion): PolicyTestResult["errors"] => {
    const place = placeOf(assertion.span, sources);
    try {
      const problem = checkAssertion(assertion, active, engine, limits);
      if (problem === undefined) return [];
      const text = textOf(assertion.span, sources);
      return [
        { error_type: "AssertionFailed", message: `${place}: test \`${test.name}\`: \`${text}\` failed: ${problem}` },
      ];
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return [{ error_type: "ServerError", message: `${place}: test \`${test.name}\`: ${error.message}` }];
    }
  });
  return { name: test.name, passed: test.assertions.length - errors.length, total: test.assertions.length, errors };
}

/** What is wrong with the answer, or `undefined` where the assertion holds. */
function checkAssertion(
  assertion: Assertion,
  active: ActivePolicy,
  engine: Engine,
  limits: Limits,
): string | undefined {
  const rows = answers(assertion, active, engine);
  if (!assertion.iff) {
    if (rows.length > 0 === assertion.expected) return undefined;
    return assertion.expected ? "nothing makes it true" : `it is true${describeRows(assertion, rows)}`;
  }
  const expected = expectedRows(assertion, active, limits);
  if (typeof expected === "string") return expected;
  const found = new Set(rows.map((row) => JSON.stringify(row)));
  const missing = expected.filter((row) => !found.has(JSON.stringify(row)));
  const wanted = new Set(expected.map((row) => JSON.stringify(row)));
  const surplus = rows.filter((row) => !wanted.has(JSON.stringify(row)));
  const same = missing.length + surplus.length === 0;
  if (same === assertion.expected) return undefined;
  if (!assertion.expected) return "the answers are exactly those of `iff`";
  return [
    ...(missing.length > 0 ? [`missing ${missing.map(printRow).join(", ")}`] : []),
    ...(surplus.length > 0 ? [`not expected ${surplus.map(printRow).join(", ")}`] : []),
  ].join("; ");
}

/** The values of the assertion's variables, in order of first mention, over every concrete type that they may have. */
function answers(assertion: Assertion, active: ActivePolicy, engine: Engine): Row[] {
  const names = assertion.params.map(({ term }, index) => (term.kind === "variable" ? `v:${term.name}` : `a:${index}`));
  const asked = [...new Set(names.filter((name) => name.startsWith("v:")))];
  const rows = new Map<string, Row>();
  for (const variables of typings(assertion, names, active)) {
    const query: Query = { calls: [{ predicate: assertion.predicate, variables: names }], variables, contextFacts: [] };
    for (const row of engine.query(query)) {
      const values = asked.map((name) => row[name] ?? null);
      rows.set(JSON.stringify(values), values);
    }
  }
  return [...rows.values()];
}

function typings(assertion: Assertion, names: readonly string[], active: ActivePolicy): Query["variables"][] {
  let maps: Map<string, { type: string; ids: readonly string[] | null }>[] = [new Map()];
  assertion.params.forEach(({ term, type }, index) => {
    const name = names[index] ?? "";
    if (term.kind === "now") throw new AppError("invalid_request", "the clock can't be an argument of an assertion");
    if (term.kind === "literal") {
      for (const map of maps) map.set(name, { type: term.type, ids: [term.id] });
      return;
    }
    const types =
      type === undefined ? new Set(["String", "Integer", "Boolean", ...active.types]) : active.universe.concrete(type);
    maps = maps.flatMap((map) => {
      const present = map.get(name);
      if (present) return types.has(present.type) ? [map] : [];
      return [...types].map((concrete) => new Map(map).set(name, { type: concrete, ids: null }));
    });
  });
  return maps;
}

/** The rows that `iff` lists, or why it lists none. */
function expectedRows(assertion: Assertion, active: ActivePolicy, limits: Limits): Row[] | string {
  if (!assertion.iff) return [];
  const goals = normaliseGoal(assertion.params, assertion.iff, active.universe, limits.policyAlternativesMax);
  const variables = [...new Set(assertion.params.flatMap(({ term }) => (term.kind === "variable" ? [term.name] : [])))];
  const rows: Row[] = [];
  for (const goal of goals) {
    const row = variables.map((name) => {
      const position = assertion.params.findIndex(({ term }) => term.kind === "variable" && term.name === name);
      const value = goal.head[position];
      return value?.kind === "const" ? value.value.id : null;
    });
    if (goal.body.length > 0 || row.includes(null))
      return '`iff` must say the values of every variable, as in `x in ["a", "b"]`';
    rows.push(row);
  }
  return rows;
}

function describeRows(assertion: Assertion, rows: readonly Row[]): string {
  const named = assertion.params.some(({ term }) => term.kind === "variable");
  return named ? ` for ${rows.slice(0, 5).map(printRow).join(", ")}` : "";
}

function printRow(row: Row): string {
  return row.map((value) => (value === null ? "every value" : JSON.stringify(value))).join(" ");
}

function placeOf(span: Span, sources: readonly Source[]): string {
  const text = sources.find((source) => source.name === span.file)?.text ?? "";
  const { line, column } = positionAt(lineStarts(text), span.start);
  return `${span.file}:${line}:${column}`;
}

function textOf(span: Span, sources: readonly Source[]): string {
  const text = sources.find((source) => source.name === span.file)?.text ?? "";
  return text.slice(span.start, span.end).replace(/\s+/g, " ").replace(/;$/, "");
}
