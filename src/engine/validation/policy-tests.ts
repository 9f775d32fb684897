/**
 * Runs the `test` blocks of a policy (polar.md 10): each with its own facts and nothing else, on the engine over a database in memory, so that a
 * test says what a node will say. What fails is explained, and on demand it is counted which rules the assertions exercised.
 *
 * The engine's evaluator answers, not its SQL statements: it can be stopped, so that no test holds up a node that takes a policy, and for
 * questions that are asked once, planning a statement does not pay. That the two agree is what `test/fuzz` is for.
 */
import { defaultLimits, type Limits } from "../../config/limits.ts";
import type { ProgramRule } from "../../datalog/ir/program.ts";
import type { Diagnostic } from "../../polar/diagnostic.ts";
import type { Assertion, PolicyTest } from "../../polar/policy.ts";
import type { Source } from "../../polar/source.ts";
import type { Span } from "../../polar/span.ts";
import { openStore } from "../../store/connection/open-store.ts";
import { createState } from "../../store/log/store-state.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { ActivePolicy } from "../policy/active-policy.ts";
import { joinSources } from "../policy/active-policy.ts";
import { applyEvent } from "../state/apply.ts";
import { assertedAtoms, checkAssertion, openAtom, type AssertionOutcome } from "./assertion.ts";
import { Engine } from "../engine.ts";
import type { Effect } from "../state/event.ts";
import { CallAnswers, WorkLimitReached } from "../explain/call-answers.ts";
import { Derivations } from "../explain/derivation.ts";
import { RuleCoverage } from "../explain/rule-coverage.ts";
import { FailedAttempts } from "../explain/failed-attempts.ts";
import { Renderer } from "../explain/rendering.ts";
import { derivationLines, failedCallLines } from "../explain/explanation-text.ts";
import { type CustomAllow, customAllow } from "../policy/custom-allow.ts";
import { patternOf } from "../policy/policy-warnings.ts";

export interface TestRun {
  readonly success: boolean;
  readonly tests: readonly { readonly name: string; readonly passed: number; readonly total: number }[];
  /** Assertions that do not hold (`test/failed`) or could not be answered (`test/error`). */
  readonly failures: readonly TestFailure[];
  /** `undefined` where it was not asked for. */
  readonly coverage: Coverage | undefined;
}

export interface TestFailure {
  readonly test: string;
  /** With `notes` that say why. */
  readonly diagnostic: Diagnostic;
}

export interface Coverage {
  /** Every written rule, in order, and whether some assertion exercised it. */
  readonly rules: readonly { readonly span: Span; readonly exercised: boolean }[];
  /** False where following an answer took more work than allowed, so that rules may have been missed. */
  readonly complete: boolean;
}

export interface TestOptions {
  readonly coverage?: boolean;
  readonly limits?: Limits;
  /** Seconds since 1970. */
  readonly clock?: () => number;
  /** When the check began that the tests are a part of, on the clock of `performance.now()`: all of it together has its time. */
  readonly startMs?: number;
}

export function runPolicyTests(active: ActivePolicy, sources: readonly Source[], options: TestOptions = {}): TestRun {
  if (active.policy.tests.length === 0 && options.coverage !== true)
    return { success: true, tests: [], failures: [], coverage: undefined };
  const runner = new TestRunner(active, sources, options);
  try {
    const results = active.policy.tests.map((test) => runner.run(test));
    const failures = results.flatMap((result) => result.failures);
    return {
      success: failures.length === 0,
      tests: results.map(({ name, total, failures: own }) => ({ name, passed: total - own.length, total })),
      failures,
      coverage: options.coverage === true ? runner.coverage() : undefined,
    };
  } finally {
    runner.close();
  }
}

interface TestResult {
  readonly name: string;
  readonly total: number;
  readonly failures: readonly TestFailure[];
}

/** Explaining takes longer than testing, and nobody reads more than these at once. */
const explainedMax = 10;
const explanationLinesMax = 24;

class TestRunner {
  readonly #active: ActivePolicy;
  readonly #sources: readonly Source[];
  readonly #limits: Limits;
  readonly #clock: () => number;
  readonly #measures: boolean;
  readonly #store = openStore(":memory:");
  readonly #engine: Engine;
  /** On the clock of `performance.now()`. */
  readonly #endMs: number;
  readonly #exercised = new Set<ProgramRule>();
  /** Looked for once, by the first assertion that needs it. */
  #ownAllow: { readonly found: CustomAllow | undefined } | undefined;
  #isComplete = true;
  #explained = 0;
  #offset = 0;

  constructor(active: ActivePolicy, sources: readonly Source[], options: TestOptions) {
    this.#active = active;
    this.#sources = sources;
    this.#limits = options.limits ?? defaultLimits;
    this.#clock = options.clock ?? (() => Math.floor(Date.now() / 1000));
    this.#measures = options.coverage === true;
    createState(this.#store, "test", "test");
    this.#endMs = (options.startMs ?? performance.now()) + this.#limits.policyCheckTimeMsMax;
    const queryTimeMsMax = Math.min(this.#limits.queryTimeMsMax, this.#limits.policyCheckTimeMsMax);
    const limits = { ...this.#limits, queryTimeMsMax };
    this.#engine = new Engine(this.#store, { limits, clock: this.#clock, strategy: "evaluator" });
    this.#apply({ kind: "policy", id: 1, source: joinSources(sources), filename: null });
  }

  run(test: PolicyTest): TestResult {
    const { name, assertions } = test;
    if (this.#isTooLate()) {
      const failures = assertions.map((assertion) => ({ test: name, diagnostic: this.#tooLate(assertion) }));
      return { name, total: assertions.length, failures };
    }
    const inserted = test.facts.map(({ predicate, args }) => ({
      predicate,
      args: args.map(({ type, id }) => ({ type, id })),
    }));
    this.#apply({ kind: "facts", inserted, deleted: [] });
    const { explanationStepsMax: stepsMax } = this.#limits;
    const options = { now: this.#clock(), stepsMax, endMs: this.#endMs, types: typesOf(test) };
    const answers = new CallAnswers(this.#engine, this.#active, options);
    const failures = assertions.flatMap((assertion): TestFailure[] => {
      const diagnostic = this.#isTooLate() ? this.#tooLate(assertion) : this.#check(assertion, answers);
      return diagnostic ? [{ test: name, diagnostic }] : [];
    });
    this.#apply({ kind: "clear" });
    return { name, total: assertions.length, failures };
  }

  coverage(): Coverage {
    const spans = new Set([...this.#exercised].map(({ span }) => keyOf(span)));
    const written = this.#active.policy.rules.filter((rule) => !rule.implicit);
    return {
      rules: written.map(({ span }) => ({ span, exercised: spans.has(keyOf(span)) })),
      complete: this.#isComplete,
    };
  }

  close(): void {
    this.#engine.close();
  }

  #check(assertion: Assertion, answers: CallAnswers): Diagnostic | undefined {
    const { span } = assertion;
    try {
      const outcome = checkAssertion(assertion, this.#active, answers);
      if (this.#measures) this.#measure(assertion, answers);
      if (outcome.problem === undefined) return undefined;
      const notes = this.#explain(assertion, outcome, answers);
      return { code: "test/failed", severity: "error", message: outcome.problem, span, notes };
    } catch (error) {
      if (!(error instanceof AppError) && !(error instanceof WorkLimitReached)) throw error;
      const message = error instanceof AppError ? error.message : "the assertion takes more work than a test may take";
      return { code: "test/error", severity: "error", message, span };
    }
  }

  #isTooLate(): boolean {
    return performance.now() > this.#endMs;
  }

  #tooLate({ span }: Assertion): Diagnostic {
    const message = `the tests of the policy take longer than ${this.#limits.policyCheckTimeMsMax} ms`;
    return { code: "test/error", severity: "error", message, span };
  }

  /** Why it is not as asserted, for the first differences. */
  #explain(assertion: Assertion, { missing, surplus }: AssertionOutcome, answers: CallAnswers): string[] {
    if (this.#explained >= explainedMax) return [];
    this.#explained += 1;
    const telling = new Renderer(this.#sources, this.#limits);
    const misses = new FailedAttempts(this.#active, answers, telling);
    const derivations = new Derivations(this.#active, answers);
    const notes: string[] = [];
    try {
      for (const atom of missing.slice(0, 2)) notes.push(...cut(failedCallLines(misses.of(atom))));
      for (const atom of surplus.slice(0, 2)) {
        const proof = derivations.of(atom);
        if (proof) notes.push(...cut(derivationLines(telling.steps(proof))));
      }
      notes.push(...this.#tellOfDefault(assertion, answers, telling));
    } catch (error) {
      if (!(error instanceof WorkLimitReached)) throw error;
      telling.truncate(error.reason);
    }
    return telling.truncation === undefined
      ? notes
      : [...notes, "saying all of why takes more work than a test may take"];
  }

  /** A permission that holds and is not enough, since `allow` rules of the policy's own replace the default one. Throws `Exhausted`. */
  #tellOfDefault(assertion: Assertion, answers: CallAnswers, telling: Renderer): string[] {
    if (assertion.predicate !== "allow" || !assertion.expected) return [];
    this.#ownAllow ??= { found: customAllow(this.#active) };
    const own = this.#ownAllow.found;
    const permission = { ...assertion, predicate: "has_permission" };
    const pattern = patternOf(permission, this.#active.universe);
    if (!own || !pattern) return [];
    const mayHelp = own.asksFor(pattern) && own.mayAllow(pattern);
    if (mayHelp || !this.#holds(permission, answers)) return [];
    const { file, line, column } = must(telling.rule(own.rule));
    return [
      `note: has_permission holds, but is not enough: the \`allow\` rules, the first at ${file}:${line}:${column}, replace the default one, which would ask for it`,
    ];
  }

  /** False, too, where the question can't be answered. */
  #holds(assertion: Assertion, answers: CallAnswers): boolean {
    try {
      return checkAssertion(assertion, this.#active, answers).problem === undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return false;
    }
  }

  #measure(assertion: Assertion, answers: CallAnswers): void {
    const exercised = new RuleCoverage(this.#active, answers, this.#exercised);
    try {
      const found = assertedAtoms(assertion, this.#active, answers);
      for (const atom of found) exercised.visit(atom);
      // What a `not` kept from being true exercised the rules behind the `not`.
      if (found.length === 0) exercised.visit(openAtom(assertion));
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

function cut(lines: readonly string[]): string[] {
  if (lines.length <= explanationLinesMax) return [...lines];
  return [...lines.slice(0, explanationLinesMax), `… ${lines.length - explanationLinesMax} more lines`];
}

/** Of the values that a test names. */
function typesOf({ facts, assertions }: PolicyTest): string[] {
  const terms = assertions.flatMap(({ params }) => params.map(({ term }) => term));
  const literals = terms.flatMap((term) => (term.kind === "literal" ? [term] : []));
  return [...facts.flatMap(({ args }) => args), ...literals].map(({ type }) => type);
}

function keyOf({ file, start }: Span): string {
  return `${file}:${start}`;
}
