/**
 * Explanations of every check in the case files: an allowed question has a proof whose steps all hold, and a denied
 * question has a reason.
 */
import { expect, test } from "bun:test";
import { Glob } from "bun";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ActivePolicy, prepare } from "../../src/policy/active-policy.ts";
import { Engine } from "../../src/engine/engine.ts";
import { CallAnswers } from "../../src/engine/explain/call-answers.ts";
import { anyId, type GroundAtom, formatAtom } from "../../src/engine/explain/atom.ts";
import { Derivations, type Proof } from "../../src/engine/explain/derivation.ts";
import { FailedAttempts } from "../../src/engine/explain/failed-attempts.ts";
import { Renderer } from "../../src/engine/explain/rendering.ts";
import { explainDecision } from "../../src/engine/explain/decision.ts";
import { explanationSchema } from "../../src/engine/explain/explanation.ts";
import { derivationLines, failedCallLines } from "../../src/engine/explain/explanation-text.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { splitKey } from "../../src/datalog/ir/program.ts";
import { type Case, type Check, parseCase } from "../cases/case.ts";
import { compilePolicy } from "../cases/compile-policy.ts";
import { oracleOf } from "../cases/run.ts";
import { insertion } from "../cases/engine-target.ts";
import type { Oracle } from "../oracle.ts";
import { policy as policyEffect, storeWith } from "./store.ts";

const folder = join(import.meta.dirname, "../cases");
const files = [...new Glob("**/*.yaml").scanSync(folder)].sort();
const all = files.map((file) => ({ file, asked: parseCase(readFileSync(join(folder, file), "utf8")) }));
const cases = all
  .filter(({ asked }) => asked.contextFacts.length === 0)
  .map(({ file, asked }) => ({ file, asked, opened: open(asked) }));

test("an allowed question has a proof whose steps all hold", () => {
  let proofs = 0;
  for (const { file, asked, opened } of cases) {
    const { active, answers, oracle } = opened;
    for (const check of asked.allowed) {
      const step = new Derivations(answers).of(allow(check));
      expect(step, `${file}: ${formatAtom(allow(check))}`).toBeDefined();
      if (!step) continue;
      expect(derivationLines(tellingOf(asked).steps(step)).length, file).toBeGreaterThan(0);
      verify(step, asked, active, oracle);
      proofs += 1;
    }
  }
  expect(proofs).toBeGreaterThan(150);
});

test("a denied question has a reason", () => {
  let reasons = 0;
  for (const { file, asked, opened } of cases) {
    const { answers } = opened;
    for (const check of asked.denied) {
      expect(new Derivations(answers).of(allow(check)), file).toBeUndefined();
      const lines = failedCallLines(new FailedAttempts(answers, tellingOf(asked)).of(allow(check)));
      expect(lines.length, `${file}: ${formatAtom(allow(check))}`).toBeGreaterThan(0);
      reasons += 1;
    }
  }
  expect(reasons).toBeGreaterThan(150);
});

test("decisions are explained completely, also with context facts: two of each kind in each file", () => {
  for (const { file, asked } of all) {
    const store = storeWith(policyEffect(asked.policy), insertion(asked.facts));
    const allowed = asked.allowed.slice(0, 2);
    const checks = [...allowed, ...asked.denied.slice(0, 2)];
    checks.forEach((check, index) => {
      const question = { ...check, contextFacts: asked.contextFacts };
      // No limit of time, so that a slow machine explains the same.
      const limits = { ...defaultLimits, explanationTimeMsMax: 1e9, queryTimeMsMax: 1e9 };
      const options = { limits, clock: asked.now };
      const explanation = store.transaction(() => explainDecision(store, question, options));
      const place = `${file}: ${explanation.question.text}`;
      expect(explanation.allowed, place).toBe(index < allowed.length);
      expect(explanation.truncated, place).toBeNull();
      expect(explanation.derivation !== null, place).toBe(explanation.allowed);
      expect(explanationSchema.parse(explanation), place).toEqual(explanation);
    });
    store.close();
  }
});

function tellingOf({ policy: text }: Case): Renderer {
  return new Renderer([{ name: "policy.polar", text }], defaultLimits);
}

interface Opened {
  readonly active: ActivePolicy;
  readonly answers: CallAnswers;
  readonly oracle: Oracle;
}

function open(asked: Case): Opened {
  const policy = compilePolicy(asked.policy);
  const active = prepare(policy, defaultLimits);
  const store = storeWith(policyEffect(asked.policy), insertion(asked.facts));
  const engine = new Engine(store, { clock: () => asked.now, strategy: "evaluator" });
  const answers = new CallAnswers(engine, active, { now: asked.now, stepsMax: 200_000, endMs: Infinity });
  return { active, answers, oracle: oracleOf(policy, asked) };
}

function allow({ actor, action, resource }: Check): GroundAtom {
  return { predicate: "allow/3", args: [actor, { type: "String", id: action }, resource] };
}

/**
 * Facts are stored, derived atoms hold for the oracle, and their rule has a matching head and a step for each
 * condition.
 */
function verify(step: Proof, asked: Case, active: ActivePolicy, oracle: Oracle): void {
  if (step.kind === "condition") return;
  const [predicate, arity] = splitKey(step.atom.predicate);
  const text = formatAtom(step.atom);
  if (step.kind === "fact") {
    const facts = asked.facts.map((fact) =>
      formatAtom({ predicate: `${fact.predicate}/${fact.args.length}`, args: fact.args }),
    );
    expect(facts).toContain(text);
    return;
  }
  const rules = active.program.rules.filter(
    (rule) =>
      rule.predicate === step.atom.predicate &&
      rule.span.start === step.rule.span.start &&
      rule.implicit === step.rule.implicit,
  );
  expect(rules.some((rule) => rule.body.length === step.parts.length && rule.head.length === arity)).toBe(true);
  if (step.atom.args.every(({ id }) => id !== anyId)) {
    expect(oracle.holds(predicate, step.atom.args), text).toBe(true);
  }
  for (const inner of step.parts) verify(inner, asked, active, oracle);
}
