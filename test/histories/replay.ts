/**
 * Replays one history on all engines side by side. Every answer is compared with the oracle's, and the stored facts
 * with a plain set of facts.
 */
import * as Bun from "bun";
import type { FactChange } from "../../src/log/event/event.ts";
import type { Fact } from "../../src/store/facts/fact.ts";
import { AppError } from "../../src/util/app-error.ts";
import { must, unreachable } from "../../src/util/assert.ts";
import { printCheck, printFact } from "../cases/case.ts";
import { decisionCacheHits } from "../engine/decision-cache-hits.ts";
import { answerOf, describe, isNotEnumerable, isTrue, problemsOf } from "../fuzz/differential.ts";
import type { Asked } from "../fuzz/questions.ts";
import type { Oracle } from "../oracle.ts";
import { countClosures, countConnections } from "./closure-counts.ts";
import type { Step } from "./history.ts";
import { openNodes, type Nodes } from "./nodes.ts";
import type { HistoryCounts } from "./history-counts.ts";
import { Truth } from "./truth.ts";
import { allFacts } from "../engine/store.ts";

/**
 * Steps that depend on the state before them: a random history deletes facts that exist by then, and repeats earlier
 * checks.
 */
export type StepPlan = (truth: Truth, checked: readonly Asked[]) => readonly Step[];

export interface Outcome {
  /** Empty if all answers were right; otherwise the problems of the last step. */
  readonly problems: readonly string[];
  readonly steps: readonly Step[];
}

export async function replay(
  policies: ReadonlyMap<string, string>,
  plans: readonly StepPlan[],
  counts: HistoryCounts,
  open: () => Nodes = openNodes,
): Promise<Outcome> {
  using nodes = open();
  const run = new Run(policies, nodes, counts);
  counts.histories += 1;
  const steps: Step[] = [];
  for (const plan of plans) {
    for (const step of plan(run.truth, [...run.checked.values()])) {
      steps.push(step);
      counts.steps += 1;
      const problems = await run.take(step);
      if (problems.length > 0) return { problems, steps };
    }
  }
  return { problems: run.finish(), steps };
}

type Cause = Exclude<keyof HistoryCounts["overturned"], "several">;

class Run {
  readonly truth = new Truth();
  /** The checks so far, in order, by their text. */
  readonly checked = new Map<string, Asked>();
  readonly #policies: ReadonlyMap<string, string>;
  readonly #nodes: Nodes;
  readonly #counts: HistoryCounts;
  /** The causes of changes so far, and by question the last answer with the number of causes before it. */
  readonly #causes: Cause[] = [];
  readonly #answered = new Map<string, { readonly allowed: boolean; readonly causes: number }>();
  /** The questions that all sides have been asked in the current state, by their text. */
  readonly #askedOfAll = new Set<string>();

  constructor(policies: ReadonlyMap<string, string>, nodes: Nodes, counts: HistoryCounts) {
    this.#policies = policies;
    this.#nodes = nodes;
    this.#counts = counts;
  }

  /** Returns the problems. */
  async take(step: Step): Promise<string[]> {
    if (!["ask", "turn"].includes(step.kind)) this.#askedOfAll.clear();
    try {
      return await this.#take(step);
    } catch (error) {
      return [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    }
  }

  async #take(step: Step): Promise<string[]> {
    switch (step.kind) {
      case "policy":
        return this.#load(
          must(this.#policies.get(step.policy), `policy ${step.policy} is in the history`),
          step.undone,
        );
      case "write":
        return this.#write(step.changes, step.undone);
      case "clear":
        this.#nodes.write({ kind: "clear" });
        this.truth.clear();
        this.#counts.cleared += 1;
        this.#causes.push("clear");
        return [];
      case "clock":
        this.#nodes.setClock(step.now);
        this.truth.setClock(step.now);
        this.#causes.push("clock");
        return [];
      case "turn":
        await new Promise(setImmediate);
        return [];
      case "ask":
        return this.#ask(step);
      default:
        return unreachable(step);
    }
  }

  /** Compares the stored facts at the end. */
  finish(): string[] {
    const { primary, edges } = this.#nodes;
    const wanted = this.truth.facts.map(printFact).sort();
    this.#counts.tooLarge += this.truth.tooLarge;
    return [primary, ...edges].flatMap(({ name, store }) => {
      const stored = allFacts(store).map(printFact).sort();
      return Bun.deepEquals(stored, wanted)
        ? []
        : [`${name} holds ${stored.join(" ")}, should hold ${wanted.join(" ")}`];
    });
  }

  #load(source: string, undone: boolean): string[] {
    const request = { kind: "policy", source, filename: null, force: true } as const;
    if (!this.truth.takes(source)) return this.#isRefused(() => this.#nodes.write(request));
    if (undone) return this.#undo(request);
    const before = this.truth.accepted(this.truth.facts).length;
    this.#nodes.write(request);
    this.truth.load(source);
    this.#counts.policies += 1;
    this.#counts.unusedFacts += Math.max(0, before - this.truth.accepted(this.truth.facts).length);
    this.#causes.push("policy");
    return [];
  }

  #write(changes: readonly FactChange[], undone: boolean): string[] {
    const request = { kind: "batch", changes } as const;
    const inserted = changes.flatMap((change) => ("inserts" in change ? change.inserts : []));
    if (this.truth.storable(inserted).length < inserted.length)
      return this.#isRefused(() => this.#nodes.write(request));
    if (undone) return this.#undo(request);
    const [before, after] = [this.truth.after([]), this.truth.after(changes)];
    const deleted = [...before].filter(([key]) => !after.has(key)).map(([, fact]) => fact);
    const result = this.#nodes.write(request);
    this.truth.write(changes);
    this.#causes.push("write");
    this.#countDeletes(changes, deleted);
    const effect = `${result.inserted ?? 0} inserted, ${result.deleted ?? 0} deleted`;
    const wanted = `${[...after.keys()].filter((key) => !before.has(key)).length} inserted, ${deleted.length} deleted`;
    return effect === wanted ? [] : [`${effect}, should be ${wanted}`];
  }

  #undo(request: Parameters<Nodes["undo"]>[0]): string[] {
    this.#nodes.undo(request);
    this.#counts.undone += 1;
    return [];
  }

  #isRefused(attempt: () => unknown): string[] {
    this.#counts.refused += 1;
    try {
      attempt();
    } catch (error) {
      if (error instanceof AppError && ["invalid_request", "invalid_policy"].includes(error.code)) return [];
      throw error;
    }
    return ["it is taken, and should be refused"];
  }

  async #ask({ contextFacts, allowed, denied, questions }: Extract<Step, { kind: "ask" }>): Promise<string[]> {
    const checks = [...allowed, ...denied].map((check): Asked => ({ kind: "authorize", check }));
    const asked = [...checks, ...questions];
    const slow = this.truth.oracle(contextFacts, asked);
    if (slow === undefined) return [];
    this.#counts.asks += 1;
    if (contextFacts.length === 0) for (const one of checks) this.checked.set(describe(one), one);
    for (const question of asked) this.#countQuestion(question, contextFacts, slow);
    const wrong = [
      ...allowed.filter((check) => !isTrue({ kind: "authorize", check }, slow)),
      ...denied.filter((check) => isTrue({ kind: "authorize", check }, slow)),
    ].map((check) => `the oracle says otherwise of ${printCheck(check)}`);
    return [...wrong, ...(await this.#askAll(asked, contextFacts, slow))];
  }

  /**
   * Asks in two rounds, so that the second round can use all cached decisions. Sides without a decision cache are asked
   * each question once in a state, and equal answers are judged once.
   */
  async #askAll(asked: readonly Asked[], contextFacts: readonly Fact[], slow: Oracle): Promise<string[]> {
    const sides = this.#nodes.sides.map((side) => ({ ...side, target: side.asking(contextFacts) }));
    const questions = asked.map((question) => {
      const text = describe(question);
      const isKnown = contextFacts.length === 0 && this.#askedOfAll.has(text);
      if (contextFacts.length === 0) this.#askedOfAll.add(text);
      return { question, text, isKnown, judged: new Map<string, readonly string[]>() };
    });
    const round = (isSecond: boolean): string[] =>
      questions.flatMap(({ question, text, isKnown, judged }) =>
        sides.flatMap(({ name, caches, target }) => {
          if (!caches && (isKnown || isSecond)) return [];
          const answer = answerOf(question, target);
          if (isNotEnumerable(answer)) this.#counts.notEnumerable += 1;
          const key = JSON.stringify(answer);
          const problems = judged.get(key) ?? problemsOf(question, answer, slow, must(this.truth.policy));
          judged.set(key, problems);
          return problems.map((problem) => `${name}: ${text}: ${problem}`);
        }),
      );
    const before = await decisionCacheHits();
    const first = round(false);
    const between = await decisionCacheHits();
    const second = round(true);
    this.#counts.cached.later += between - before;
    this.#counts.cached.immediately += (await decisionCacheHits()) - between;
    return [...first, ...second];
  }

  #countQuestion(question: Asked, contextFacts: readonly Fact[], slow: Oracle): void {
    const allowed = isTrue(question, slow);
    this.#counts.questions += 1;
    if (allowed) this.#counts.positive += 1;
    if (contextFacts.length > 0) this.#counts.withContext += 1;
    if (question.kind !== "authorize" || contextFacts.length > 0) return;
    this.#counts.cacheable += 1;
    const key = printCheck(question.check);
    const known = this.#answered.get(key);
    const [cause, ...others] = new Set(this.#causes.slice(known?.causes));
    this.#answered.set(key, { allowed, causes: this.#causes.length });
    if (known === undefined || known.allowed === allowed || cause === undefined) return;
    this.#counts.overturned[others.length > 0 ? "several" : cause] += 1;
  }

  #countDeletes(changes: readonly FactChange[], deleted: readonly Fact[]): void {
    const { primary, edges } = this.#nodes;
    const patterns = changes.flatMap((change) => ("deletes" in change ? change.deletes : []));
    const open = patterns.filter(({ args }) => args.some(({ id }) => id === null));
    this.#counts.wildcards += open.length;
    if (patterns.length === open.length) this.#counts.wildcardFacts += deleted.length;
    countConnections(primary.store, deleted, this.#counts);
    countClosures(
      primary.store,
      edges.map(({ store }) => store),
      this.#counts,
    );
  }
}
