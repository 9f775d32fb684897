/**
 * The true state after the steps so far: the policy, the facts as a plain set, the time, and the oracle's model of
 * them.
 */
import type { FactChange } from "../../src/log/event/event.ts";
import { checkPolicy } from "../../src/engine/validation/policy-check.ts";
import type { Policy } from "../../src/polar/policy.ts";
import type { Fact, FactPattern, Value } from "../../src/store/facts/fact.ts";
import { printFact } from "../cases/case.ts";
import { oracleOrNothing } from "../fuzz/differential.ts";
import { asQuery, type Asked } from "../fuzz/questions.ts";
import { acceptedFacts, storableFacts } from "../oracle/accepted-facts.ts";
import { createDomain } from "../oracle/domain.ts";
import type { Oracle } from "../oracle.ts";

/** A history needs many models, so expensive ones are skipped earlier than elsewhere. */
const conditionsMax = 30_000;

export class Truth {
  readonly #stored = new Map<string, Fact>();
  /** The checked policies by their text; `undefined` for a refused one. */
  readonly #checked = new Map<string, Policy | undefined>();
  /** How often there was no model, because it would have been too large. */
  tooLarge = 0;
  #policy: Policy | undefined;
  #now = 0;
  /** The last model, of the current state, with the values that it knows. */
  #known:
    { readonly context: string; readonly keys: ReadonlySet<string>; readonly slow: Oracle | undefined } | undefined;

  get policy(): Policy | undefined {
    return this.#policy;
  }

  get facts(): readonly Fact[] {
    return [...this.#stored.values()];
  }

  /** Whether the policy can become active. */
  takes(text: string): boolean {
    return this.#check(text) !== undefined;
  }

  load(text: string): void {
    this.#policy = this.#check(text);
    this.#known = undefined;
  }

  /** The facts that answers under the policy read, if they are stored. */
  accepted(facts: readonly Fact[]): Fact[] {
    if (this.#policy === undefined) return [];
    return facts.filter(acceptedFacts(this.#policy, createDomain(this.#policy, facts, [], this.#now)));
  }

  /** The facts that may be stored under the policy. */
  storable(facts: readonly Fact[]): Fact[] {
    if (this.#policy === undefined) return [];
    return facts.filter(storableFacts(this.#policy, createDomain(this.#policy, facts, [], this.#now)));
  }

  /** The facts that would be stored after the changes. */
  after(changes: readonly FactChange[]): Map<string, Fact> {
    const stored = new Map(this.#stored);
    for (const change of changes) {
      if ("inserts" in change) for (const fact of change.inserts) stored.set(printFact(fact), fact);
      else
        for (const [key, fact] of stored)
          if (change.deletes.some((pattern) => covers(pattern, fact))) stored.delete(key);
    }
    return stored;
  }

  write(changes: readonly FactChange[]): void {
    const after = this.after(changes);
    this.clear();
    for (const [key, fact] of after) this.#stored.set(key, fact);
  }

  clear(): void {
    this.#stored.clear();
    this.#known = undefined;
  }

  setClock(now: number): void {
    this.#now = now;
    this.#known = undefined;
  }

  /** The model that answers the questions; `undefined` without a policy, and if it is too large. */
  oracle(contextFacts: readonly Fact[], questions: readonly Asked[]): Oracle | undefined {
    if (this.#policy === undefined) return undefined;
    const context = contextFacts.map(printFact).join(" ");
    const keys = questions.flatMap(valuesOf).map(keyOf);
    if (this.#known?.context === context && keys.every((key) => this.#known?.keys.has(key))) return this.#known.slow;
    const slow = oracleOrNothing(
      this.#policy,
      { facts: this.facts, contextFacts, questions },
      { now: this.#now, conditionsMax },
    );
    const values = slow?.domain.all.filter(({ fresh }) => !fresh) ?? [];
    if (slow === undefined) this.tooLarge += 1;
    this.#known = { context, keys: new Set([...keys, ...values.map(keyOf)]), slow };
    return slow;
  }

  #check(text: string): Policy | undefined {
    if (!this.#checked.has(text)) {
      this.#checked.set(text, checkPolicy([{ name: "policy.polar", text }], { runTests: false }).policy);
    }
    return this.#checked.get(text);
  }
}

function valuesOf(question: Asked): Value[] {
  return [...asQuery(question).variables.values()].flatMap(({ type, ids }) => (ids ?? []).map((id) => ({ type, id })));
}

function keyOf({ type, id }: Value): string {
  return JSON.stringify([type, id]);
}

function covers({ predicate, args }: FactPattern, fact: Fact): boolean {
  return (
    predicate === fact.predicate &&
    args.length === fact.args.length &&
    fact.args.every(({ type, id }, position) => {
      const wanted = args[position];
      return (wanted?.type ?? type) === type && (wanted?.id ?? id) === id;
    })
  );
}
