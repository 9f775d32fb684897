/**
 * Runs a policy's own tests with the test runner, both strategies of the engine, and the oracle. The runner and the
 * oracle must agree on each assertion, and the rows of the engine must be the answers of the oracle, whether the
 * assertion passes or not. The engine may also refuse to list answers.
 */
import { defaultLimits, type Limits } from "../../src/config/limits.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Query } from "../../src/engine/request/questions.ts";
import type { Diagnostic } from "../../src/polar/diagnostic.ts";
import type { Assertion, PolicyTest } from "../../src/polar/policy.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must } from "../../src/util/assert.ts";
import { openEngineInMemory, type EngineTarget } from "../cases/engine-target.ts";
import { oracle, type Oracle } from "../oracle.ts";
import { assertionPasses, valuesOf } from "../oracle/assertions.ts";
import { storableFacts } from "../oracle/accepted-facts.ts";
import { differences } from "../oracle/differences.ts";
import { createDomain } from "../oracle/domain.ts";

export interface Verdict {
  readonly diagnostics: readonly Diagnostic[];
  /** Failed assertions. */
  readonly failures: readonly string[];
  /** Differences between the oracle, the engine and the runner. */
  readonly disagreements: readonly string[];
  readonly assertions: number;
}

const now = 1_700_000_000;
const strategies = ["statement", "evaluator"] as const;

export interface JudgeOptions {
  readonly limits?: Partial<Limits> | undefined;
  /** The oracle throws `TooMuchWork` after this many conditions. */
  readonly conditionsMax?: number;
}

export function judge(text: string, { limits, conditionsMax }: JudgeOptions = {}): Verdict {
  const { policy, diagnostics, tests } = checkPolicy([{ name: "policy.polar", text }], {
    runTests: true,
    limits: { ...defaultLimits, ...limits },
    clock: () => now,
  });
  const failures = tests?.failures ?? [];
  const disagreements = (policy?.tests ?? []).flatMap((test, index) => {
    const values = test.assertions.flatMap(valuesOf);
    const written = test.facts.map(plainFact);
    const facts = written.filter(storableFacts(must(policy), createDomain(must(policy), written, values, now)));
    const slow = oracle(must(policy), { facts, now, values, conditionsMax });
    const passed = test.assertions.filter((assertion) => assertionPasses(assertion, slow)).length;
    const counted = must(tests?.tests[index]).passed;
    const unanswered = failures.filter(
      (failure) => failure.test === test.name && failure.diagnostic.code === "test/error",
    );
    return [
      ...(passed < counted || passed > counted + unanswered.length
        ? [`${test.name}: ${counted} pass, by the oracle ${passed}`]
        : []),
      ...strategies.flatMap((strategy) => {
        using engine = openEngineInMemory({ policy: text, facts, contextFacts: [], now }, { strategy });
        return differencesOf(test, slow, engine).map((found) => `${strategy}: ${test.name}: ${found}`);
      }),
    ];
  });
  const assertions = (policy?.tests ?? []).reduce((sum, test) => sum + test.assertions.length, 0);
  const messages = failures.map(({ test, diagnostic }) => `${test}: ${diagnostic.message}`);
  return { diagnostics, failures: messages, disagreements, assertions };
}

function plainFact({ predicate, args }: PolicyTest["facts"][number]): Fact {
  return { predicate, args: args.map(({ type, id }) => ({ type, id })) };
}

function differencesOf(test: PolicyTest, slow: Oracle, engine: EngineTarget): string[] {
  return test.assertions.flatMap((assertion) =>
    queriesOf(assertion, slow).flatMap((query) => {
      const variables = [...query.variables.values()].map(({ type, ids }) => `${type} ${ids?.join() ?? "*"}`);
      const text = `${assertion.predicate}(${variables.join(", ")})`;
      return answers(query, slow, engine).map((found) => `${text}: ${found}`);
    }),
  );
}

function answers(query: Query, slow: Oracle, engine: EngineTarget): string[] {
  try {
    return differences(slow, query, engine.query(query));
  } catch (error) {
    if (error instanceof AppError && error.code === "query_not_enumerable") return [];
    if (error instanceof AppError) return [`no answer: ${error.message}`];
    throw error;
  }
}

/** Questions have exact types, so an assertion becomes a question for each combination of types of its variables. */
function queriesOf({ predicate, params }: Assertion, slow: Oracle): Query[] {
  const types = [...new Set(slow.domain.all.map(({ type }) => type))];
  const names = params.map(({ term }, index) => (term.kind === "variable" ? term.name : `argument ${index}`));
  let ranges: [string, { type: string; ids: string[] | null }][][] = [[]];
  params.forEach(({ term, type }, index) => {
    const name = must(names[index]);
    const given = term.kind === "literal" ? [term] : term.kind === "now" ? [slow.domain.now] : undefined;
    const choices =
      given?.map((value) => ({ type: value.type, ids: [value.id] })) ??
      types
        .filter((concrete) => type === undefined || slow.domain.isSubtype(concrete, type))
        .map((concrete) => ({ type: concrete, ids: null }));
    ranges = ranges.flatMap((range) => {
      const known = range.find(([variable]) => variable === name);
      if (known) return choices.some((choice) => choice.type === known[1].type) ? [range] : [];
      return choices.map((choice) => [...range, [name, choice] as [string, typeof choice]]);
    });
  });
  return ranges.map((range) => ({
    calls: [{ predicate, variables: names }],
    variables: new Map(range),
    contextFacts: [],
  }));
}
