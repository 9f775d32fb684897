/**
 * The runner of the `test` blocks of a policy. Each test runs with its own facts only, on the engine over
 * a database in memory, so it answers as a node will. Failed assertions are explained, and on request the runner counts
 * which rules the assertions exercised.
 *
 * The evaluator answers, not SQL statements: it can be stopped, so no test delays a node that receives a policy, and
 * planning a statement is not worth its cost for questions that are asked once. `test/fuzz` verifies that both give the
 * same answers.
 */
import type { Limits } from "../../config/limits.ts";
import type { ProgramRule } from "../../datalog/ir/program.ts";
import type { Diagnostic } from "../../polar/diagnostic.ts";
import type { Assertion, PolicyTest } from "../../polar/policy.ts";
import { ruleAt } from "../../polar/rule-text.ts";
import type { Source } from "../../polar/source.ts";
import type { Span } from "../../polar/span.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { createState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { Engine } from "../engine.ts";
import type { OpenAtom } from "../explain/atom.ts";
import { CallAnswers, WorkLimitReached } from "../explain/call-answers.ts";
import { Derivations } from "../explain/derivation.ts";
import { derivationLines, failedCallLines } from "../explain/explanation-text.ts";
import { FailedAttempts } from "../explain/failed-attempts.ts";
import { Renderer } from "../explain/rendering.ts";
import { coverRules } from "../explain/rule-coverage.ts";
import { type ActivePolicy, joinSources } from "../../policy/active-policy.ts";
import { type CustomAllow, customAllow } from "../../policy/custom-allow.ts";
import { checkFactSchema } from "../../policy/fact-schema.ts";
import { patternOf } from "../../policy/policy-warnings.ts";
import { applyEvent } from "../../log/state/apply.ts";
import type { Effect } from "../../log/event/event.ts";
import { type AssertionOutcome, checkAssertion, openAtom } from "./assertion.ts";

export interface TestRun {
  readonly success: boolean;
  readonly tests: readonly { readonly name: string; readonly passed: number; readonly total: number }[];
  /** Assertions that do not hold (`test/failed`) or that could not be answered (`test/error`). */
  readonly failures: readonly TestFailure[];
  /** `undefined` if coverage was not requested. */
  readonly coverage: Coverage | undefined;
}

export interface TestFailure {
  readonly test: string;
  /** Its `notes` give the reasons. */
  readonly diagnostic: Diagnostic;
}

export interface Coverage {
  /** Every rule of the policy text, in order, and how many tests exercised it. */
  readonly rules: readonly { readonly span: Span; readonly tests: number }[];
  /** False if following an answer took more work than allowed, so that covered rules may be missing. */
  readonly complete: boolean;
}

export interface TestOptions {
  /** Whether to count which rules the tests exercise. */
  readonly coverage?: boolean;
  readonly limits: Limits;
  /** Seconds since 1970. */
  readonly clock?: () => number;
  /** The start of the whole check, to which the time limit applies, on the clock of `performance.now()`. */
  readonly startMs: number;
}

export function runPolicyTests(active: ActivePolicy, sources: readonly Source[], options: TestOptions): TestRun {
  if (active.policy.tests.length === 0 && options.coverage !== true)
    return { success: true, tests: [], failures: [], coverage: undefined };
  const runner = new TestRunner(active, sources, options);
  try {
    const results = active.policy.tests.map((test) => ({ test, failures: runner.run(test) }));
    const failures = results.flatMap((result) => result.failures);
    return {
      success: failures.length === 0,
      tests: results.map(({ test: { name, assertions }, failures: failed }) => ({
        name,
        passed: assertions.length - failed.length,
        total: assertions.length,
      })),
      failures,
      coverage: options.coverage === true ? runner.coverage() : undefined,
    };
  } finally {
    runner.close();
  }
}

/** Limited, because an explanation takes longer than a test and nobody reads more of them at once. */
const explainedMax = 10;
const explanationLinesMax = 24;

class TestRunner {
  readonly #active: ActivePolicy;
  readonly #sources: readonly Source[];
  readonly #limits: Limits;
  readonly #clock: () => number;
  readonly #countsCoverage: boolean;
  readonly #store = openStore(":memory:");
  readonly #engine: Engine;
  /** On the clock of `performance.now()`. */
  readonly #endMs: number;
  /** How many tests exercised the rule at a position. */
  readonly #exercised = new Map<string, number>();
  /** Computed once, for the first assertion that needs it. */
  #customAllow: { readonly found: CustomAllow | undefined } | undefined;
  #isComplete = true;
  #explained = 0;
  #offset = 0;

  constructor(active: ActivePolicy, sources: readonly Source[], { coverage, limits, clock, startMs }: TestOptions) {
    this.#active = active;
    this.#sources = sources;
    this.#limits = limits;
    this.#clock = clock ?? (() => Math.floor(Date.now() / 1000));
    this.#countsCoverage = coverage === true;
    createState(this.#store, "test", "test");
    this.#endMs = startMs + limits.policyCheckTimeMsMax;
    const queryTimeMsMax = Math.min(limits.queryTimeMsMax, limits.policyCheckTimeMsMax);
    const options = { limits: { ...limits, queryTimeMsMax }, clock: this.#clock, strategy: "evaluator" } as const;
    this.#engine = new Engine(this.#store, options);
    this.#apply({ kind: "policy", id: 1, source: joinSources(sources), filename: null });
  }

  run(test: PolicyTest): TestFailure[] {
    const { name, assertions } = test;
    if (this.#isPastDeadline())
      return assertions.map((assertion) => ({ test: name, diagnostic: this.#pastDeadline(assertion) }));
    // A node would refuse the other facts; a warning names them.
    const accepted = test.facts.filter((fact) => checkFactSchema(fact, this.#active) === undefined);
    const inserted = accepted.map(({ predicate, args }) => ({
      predicate,
      args: args.map(({ type, id }) => ({ type, id })),
    }));
    this.#apply({ kind: "facts", inserted, deleted: [] });
    const { explanationStepsMax: stepsMax } = this.#limits;
    const options = { now: this.#clock(), stepsMax, endMs: this.#endMs, types: typesOf(test) };
    const answers = new CallAnswers(this.#engine, this.#active, options);
    const exercised = new Set<ProgramRule>();
    const failures = assertions.flatMap((assertion): TestFailure[] => {
      const diagnostic = this.#isPastDeadline()
        ? this.#pastDeadline(assertion)
        : this.#check(assertion, answers, exercised);
      return diagnostic ? [{ test: name, diagnostic }] : [];
    });
    for (const key of new Set([...exercised].map(({ span }) => keyOf(span))))
      this.#exercised.set(key, (this.#exercised.get(key) ?? 0) + 1);
    this.#apply({ kind: "clear" });
    return failures;
  }

  coverage(): Coverage {
    const written = this.#active.policy.rules.filter((rule) => !rule.implicit);
    return {
      rules: written.map(({ span }) => ({ span, tests: this.#exercised.get(keyOf(span)) ?? 0 })),
      complete: this.#isComplete,
    };
  }

  close(): void {
    this.#engine.close();
  }

  #check(assertion: Assertion, answers: CallAnswers, exercised: Set<ProgramRule>): Diagnostic | undefined {
    const { span } = assertion;
    try {
      const outcome = checkAssertion(assertion, answers);
      if (this.#countsCoverage) this.#addCoverage(assertion, outcome.found, answers, exercised);
      if (outcome.problem === undefined) return undefined;
      const notes = this.#explain(assertion, outcome, answers);
      return { code: "test/failed", severity: "error", message: outcome.problem, span, notes };
    } catch (error) {
      if (!(error instanceof AppError) && !(error instanceof WorkLimitReached)) throw error;
      const message = error instanceof AppError ? error.message : "the assertion takes more work than a test may take";
      return { code: "test/error", severity: "error", message, span };
    }
  }

  #isPastDeadline(): boolean {
    return performance.now() > this.#endMs;
  }

  #pastDeadline({ span }: Assertion): Diagnostic {
    const message = `the tests of the policy take longer than ${this.#limits.policyCheckTimeMsMax} ms`;
    return { code: "test/error", severity: "error", message, span };
  }

  /** The reasons for the first differences between the assertion and the answer. */
  #explain(assertion: Assertion, { missing, surplus }: AssertionOutcome, answers: CallAnswers): string[] {
    if (this.#explained >= explainedMax) return [];
    this.#explained += 1;
    const renderer = new Renderer(this.#sources, this.#limits);
    const failedAttempts = new FailedAttempts(answers, renderer);
    const derivations = new Derivations(answers);
    const notes: string[] = [];
    try {
      for (const atom of missing.slice(0, 2)) notes.push(...shortened(failedCallLines(failedAttempts.of(atom))));
      for (const atom of surplus.slice(0, 2)) {
        const proof = derivations.of(atom);
        if (proof) notes.push(...shortened(derivationLines(renderer.steps(proof))));
      }
      notes.push(...this.#defaultAllowNote(assertion, answers));
    } catch (error) {
      if (!(error instanceof WorkLimitReached)) throw error;
      renderer.truncate(error.reason);
    }
    return renderer.truncation === undefined
      ? notes
      : [...notes, "the full explanation takes more work than a test may take"];
  }

  /**
   * A note for a permission that holds but is not enough, because custom `allow` rules replace the default rule. Throws
   * `WorkLimitReached`.
   */
  #defaultAllowNote(assertion: Assertion, answers: CallAnswers): string[] {
    if (assertion.predicate !== "allow" || !assertion.expected) return [];
    this.#customAllow ??= { found: customAllow(this.#active) };
    const { found } = this.#customAllow;
    const permission = { ...assertion, predicate: "has_permission" };
    const pattern = patternOf(permission, this.#active.universe);
    if (!found || !pattern || (found.asksFor(pattern) && found.mayAllow(pattern))) return [];
    if (!holds(permission, answers)) return [];
    const { file, line, column } = ruleAt(found.rule.span, this.#sources);
    return [
      `note: has_permission holds, but is not enough: the \`allow\` rules, the first at ${file}:${line}:${column}, replace the default rule, which would call it`,
    ];
  }

  #addCoverage(
    assertion: Assertion,
    found: readonly OpenAtom[],
    answers: CallAnswers,
    exercised: Set<ProgramRule>,
  ): void {
    try {
      // If a `not` prevented the answer, the rules behind the `not` were exercised.
      coverRules(found.length > 0 ? found : [openAtom(assertion)], answers, exercised);
    } catch (error) {
      if (!(error instanceof WorkLimitReached)) throw error;
      this.#isComplete = false;
    }
  }

  #apply(effect: Effect): void {
    this.#offset += 1;
    const event = { offset: this.#offset, timeMs: 0, traceparent: null, effect };
    this.#store.transaction(() => applyEvent(this.#store, event));
  }
}

/** Also false if the question cannot be answered. */
function holds(assertion: Assertion, answers: CallAnswers): boolean {
  try {
    return checkAssertion(assertion, answers).problem === undefined;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return false;
  }
}

function shortened(lines: readonly string[]): string[] {
  if (lines.length <= explanationLinesMax) return [...lines];
  return [...lines.slice(0, explanationLinesMax), `… ${lines.length - explanationLinesMax} more lines`];
}

/** The types of the values that a test names. */
function typesOf({ facts, assertions }: PolicyTest): string[] {
  const terms = assertions.flatMap(({ params }) => params.map(({ term }) => term));
  const literals = terms.flatMap((term) => (term.kind === "literal" ? [term] : []));
  return [...facts.flatMap(({ args }) => args), ...literals].map(({ type }) => type);
}

function keyOf({ file, start }: Span): string {
  return `${file}:${start}`;
}
