/**
 * Explains a decision, from one state of the data and at one time. The decision itself is made as for `POST
 * /api/authorize`, whatever happens to the explanation.
 */
import type { Limits } from "../../config/limits.ts";
import { contextSignatures } from "../../datalog/pipeline.ts";
import type { Source } from "../../polar/source.ts";
import type { Connection } from "../../store/connection/connection.ts";
import type { Value } from "../../store/facts/fact.ts";
import { allTypes } from "../../store/facts/symbols.ts";
import { Engine } from "../engine.ts";
import { activationOf, answerUnder } from "../../policy/activation.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import { unknownNames } from "../../policy/unknown-names.ts";
import { factTypesOf } from "../query/shapes.ts";
import type { AuthorizeQuestion, ExplainQuestion } from "../request/questions.ts";
import type { GroundAtom } from "./atom.ts";
import { CallAnswers, WorkLimitReached } from "./call-answers.ts";
import { Derivations } from "./derivation.ts";
import type { ExplainedStep, Explanation, TruncationReason } from "./explanation.ts";
import { FailedAttempts } from "./failed-attempts.ts";
import { callOf, Renderer } from "./rendering.ts";

interface ExplainOptions {
  readonly limits: Limits;
  /** Seconds since 1970. */
  readonly clock: number;
  /** A policy with its texts that answers instead of the stored one. The connection must only read. */
  readonly draft?: ActivePolicy;
}

/** As `explainDecision`; with data bindings also which rows of the application can change the decision. */
export function explainQuestion(
  database: Connection,
  { question, bindings }: ExplainQuestion,
  { limits, clock }: Pick<ExplainOptions, "limits" | "clock">,
): Explanation {
  const explanation = explainDecision(database, question, { limits, clock });
  if (bindings === undefined) return explanation;
  const engine = new Engine(database, { limits, clock: () => clock, inTransaction: true });
  return { ...explanation, local: engine.local.explainLocal({ ...question, bindings }) };
}

/** `database` is in a transaction. Throws as `Engine.authorize` does. */
export function explainDecision(
  database: Connection,
  question: AuthorizeQuestion,
  { limits, clock, draft }: ExplainOptions,
): Explanation {
  if (draft !== undefined) answerUnder(database, draft);
  const deciding = new Engine(database, { limits, clock: () => clock, inTransaction: true });
  const allowed = deciding.authorize(question);
  const { actor, action, resource } = question;
  const atom: GroundAtom = { predicate: "allow/3", args: [actor, { type: "String", id: action }, resource] };
  const active = activationOf(database)?.active;
  const stored = draft === undefined ? storedPolicy(deciding) : { id: 0, sources: draft.sources };
  const decided = { allowed, question: callOf(atom) };
  if (!active || !stored)
    return { ...decided, policy: null, derivation: null, denial: null, unknown: [], truncated: null };

  const answers = answersFor(active, database, question, { limits, clock });
  const { id, sources } = stored;
  const policy = { id, filename: sources.map(({ name }) => name).join(", ") };
  const renderer = new Renderer(sources, limits);
  const derivation = allowed ? derivationOf(atom, answers, renderer) : null;
  const denial = allowed ? null : new FailedAttempts(answers, renderer).of(atom);
  const unknown = allowed ? [] : unknownNames({ predicate: "allow", args: atom.args }, active);
  return { ...decided, policy, derivation, denial, unknown, truncated: truncation(renderer.truncation, limits) };
}

function storedPolicy(engine: Engine): { readonly id: number; readonly sources: readonly Source[] } | undefined {
  const policy = engine.policy();
  if (policy === null) return undefined;
  return { id: policy.id, sources: [{ name: policy.filename ?? "policy.polar", text: policy.source }] };
}

function derivationOf(atom: GroundAtom, answers: CallAnswers, renderer: Renderer): ExplainedStep | null {
  try {
    const proof = new Derivations(answers).of(atom);
    if (proof) return renderer.steps(proof);
    renderer.truncate("nothing");
    return null;
  } catch (error) {
    // A `RangeError` means that the proof is deeper than the stack.
    if (!(error instanceof WorkLimitReached || error instanceof RangeError)) throw error;
    renderer.truncate(error instanceof WorkLimitReached ? error.reason : "depth");
    return null;
  }
}

/**
 * A question without open arguments is as cheap as a decision, and is answered like one. A question that lists values
 * goes to the evaluator, whose work can be limited.
 */
function answersFor(
  active: ActivePolicy,
  database: Connection,
  { actor, resource, contextFacts }: AuthorizeQuestion,
  { limits, clock }: ExplainOptions,
): CallAnswers {
  const { explanationFactsMax, explanationStepsMax, explanationTimeMsMax } = limits;
  const options = {
    clock: () => clock,
    inTransaction: true,
    factsAtATimeMax: explanationFactsMax,
    limits: {
      ...limits,
      queryRowsMax: Math.min(limits.queryRowsMax, explanationFactsMax),
      queryStepsMax: Math.min(limits.queryStepsMax, explanationStepsMax),
      queryTimeMsMax: Math.min(limits.queryTimeMsMax, explanationTimeMsMax),
    },
  };
  const requestTypes = [actor, resource, ...contextFacts.flatMap(({ args }) => args)].map(({ type }: Value) => type);
  const context = factTypesOf(contextFacts);
  const engine = new Engine(database, { ...options, strategy: "evaluator" });
  const read = { program: active.program, factTypes: engine.factTypes()?.factTypes ?? active.factTypes };
  return new CallAnswers(engine, active, {
    closedEngine: new Engine(database, options),
    now: clock,
    stepsMax: explanationStepsMax,
    endMs: performance.now() + explanationTimeMsMax,
    types: [...allTypes(database), ...requestTypes],
    contextFacts,
    ...(context.length > 0 && { signatures: contextSignatures(read, context, limits.policyTypingsMax) }),
  });
}

function truncation(reason: TruncationReason | undefined, limits: Limits): Explanation["truncated"] {
  if (reason === undefined) return null;
  const messages: Readonly<Record<TruncationReason, string>> = {
    steps: `it takes more than ${limits.explanationStepsMax} steps`,
    time: `it takes longer than ${limits.explanationTimeMsMax} ms`,
    facts: `it would have to read more than ${limits.explanationFactsMax} facts at a time`,
    entries: `it has more than ${limits.explanationEntriesMax} entries`,
    depth: `it is deeper than ${limits.explanationDepthMax} steps`,
    nothing: "the search for it found nothing",
  };
  return { reason, message: messages[reason] };
}
