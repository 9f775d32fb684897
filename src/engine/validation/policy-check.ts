/**
 * The check whether a policy can become active: the diagnostics of the language, negation without a meaning, rules that
 * are too large to compile, and the policy's own tests. The command line, uploads and editors all use it.
 */
import { defaultLimits, type Limits } from "../../config/limits.ts";
import { type Excess, TooLarge } from "../../datalog/analysis/too-large.ts";
import { checkProgram } from "../../datalog/pipeline.ts";
import { compile } from "../../polar/compile.ts";
import type { Diagnostic } from "../../polar/diagnostic.ts";
import { nulCharacters } from "../../polar/nul-characters.ts";
import type { Policy } from "../../polar/policy.ts";
import type { Source } from "../../polar/source.ts";
import { type ActivePolicy, polarLimits, prepare } from "../../policy/active-policy.ts";
import { policyWarnings } from "../../policy/policy-warnings.ts";
import { runPolicyTests, type TestOptions, type TestRun } from "./policy-tests.ts";

export interface PolicyCheck {
  /** `undefined` if a diagnostic is an error. */
  readonly policy: Policy | undefined;
  /** The same policy, compiled. */
  readonly active: ActivePolicy | undefined;
  readonly diagnostics: readonly Diagnostic[];
  /** `undefined` if tests were not requested, or if the policy has errors. */
  readonly tests: TestRun | undefined;
}

export interface CheckOptions extends Pick<TestOptions, "coverage" | "clock"> {
  readonly runTests: boolean;
  readonly limits?: Limits;
}

/** All `sources` together are one policy. */
export function checkPolicy(sources: readonly Source[], options: CheckOptions): PolicyCheck {
  const limits = options.limits ?? defaultLimits;
  const startMs = performance.now();
  let active: ActivePolicy | undefined;
  const further = (checked: Policy): readonly Diagnostic[] => {
    const found = compileAndCheck(checked, limits);
    active = found.active;
    return [...nulCharacters(sources), ...found.diagnostics];
  };
  const { policy, diagnostics } = compile(sources, polarLimits(limits), { further });
  if (!policy || !active) return { policy: undefined, active: undefined, diagnostics, tests: undefined };
  const tests = options.runTests ? runPolicyTests(active, sources, { ...options, limits, startMs }) : undefined;
  return { policy, active, diagnostics, tests };
}

/** Compiles the policy, and runs the checks that need the Datalog program. */
function compileAndCheck(policy: Policy, limits: Limits): Pick<PolicyCheck, "active" | "diagnostics"> {
  try {
    const active = prepare(policy, limits);
    const { negativeCycles, openComparisons } = checkProgram(active.program);
    const diagnostics = negativeCycles.map((cycle): Diagnostic => ({
      code: "rule/negative-cycle",
      severity: "error",
      message: `this rule negates \`${cycle.predicate}\`, which depends on this rule in turn`,
      span: cycle.rule,
      hint: "negate something that does not depend on this rule, such as a separate fact",
      ...(cycle.through !== cycle.rule && {
        related: [{ message: "the dependency leads through this rule", span: cycle.through }],
      }),
    }));
    for (const { rule } of openComparisons) {
      diagnostics.push({
        code: "rule/open-comparison",
        severity: "error",
        message: "this rule compares a value that another rule leaves open: any integer could stand there",
        span: rule,
        hint: "bind the value with a fact, or give the other rule a literal in its place",
      });
    }
    if (diagnostics.length > 0) return { active: undefined, diagnostics };
    return { active, diagnostics: policyWarnings(active, limits.policyTypingsMax) };
  } catch (error) {
    if (!(error instanceof TooLarge) || !error.span) throw error;
    const { excess, span } = error;
    return { active: undefined, diagnostics: [{ severity: "error", span, ...tooLarge[excess] }] };
  }
}

const tooLarge: Readonly<Record<Excess, Pick<Diagnostic, "code" | "message" | "hint">>> = {
  alternatives: {
    code: "rule/too-many-alternatives",
    message: "the `or` and `in` of this rule multiply to too many alternatives",
    hint: "move a part of the condition into a separate rule",
  },
  conditions: {
    code: "rule/too-many-conditions",
    message: "this rule has too many conditions that must hold at a time",
    hint: "move a part of the condition into a separate rule",
  },
  types: {
    code: "rule/too-many-types",
    message: "the possible types of the arguments here multiply to too many combinations",
    hint: "give each variable a concrete type instead of an abstract one",
  },
  predicates: {
    code: "rule/too-many-predicates",
    message: "up to here, the rules use facts of more predicates than a policy may use",
    hint: "use one predicate with an additional argument instead of many predicates",
  },
};
