/**
 * Finds rules that only imply each other: a cycle that no fact and no other rule leads into. Facts of roles, relations,
 * declared predicates and predicates without rules are expected; so are those in tests, and those of a predicate that
 * only its own rules call, as in a transitive closure. Permissions, and predicates whose rules call each other, should
 * come from rules.
 */
import type { Policy } from "../../polar/policy.ts";
import type { Span } from "../../polar/span.ts";
import { ArgumentIndex, type ArgumentPattern, mayUnify } from "../ir/argument-index.ts";
import { argumentPatternKey, listKey } from "../ir/key.ts";
import {
  argumentPattern,
  type DatalogProgram,
  headPatterns,
  predicateKey,
  programCalls,
  type ProgramRule,
  splitKey,
} from "../ir/program.ts";
import { findCycles } from "./components.ts";

/** A distinct head, with its rules. */
interface Head {
  readonly predicate: string;
  readonly args: readonly ArgumentPattern[];
  readonly rules: Conditions[];
  /** Whether a rule with this head may be true. */
  isFounded: boolean;
}

/** The calls of a rule that have to be true. */
interface Conditions {
  readonly rule: ProgramRule;
  readonly head: Head;
  readonly calls: readonly Call[];
}

/** A distinct call. */
interface Call {
  readonly heads: readonly Head[];
  readonly areFactsExpected: boolean;
  readonly callers: Conditions[];
}

export interface CircularRule {
  readonly span: Span;
  readonly predicate: string;
}

/** The rules of each cycle, in the order of the policy. */
export function circularRules(policy: Policy, program: DatalogProgram): CircularRule[][] {
  const areFactsExpected = expectedFacts(policy, program);
  if (!areFactsExpected) return [];
  const rules = conditionsOf(program, areFactsExpected);
  findFounded(rules);
  const heads = [...new Set(rules.map(({ head }) => head))].filter((head) => !head.isFounded);
  const calledBy = (head: Head): Head[] => head.rules.flatMap(({ calls }) => calls.flatMap(openHeads));
  const { components, cyclic } = findCycles(heads, calledBy);
  const componentOf = (head: Head): number | undefined => (cyclic.has(head) ? components.get(head) : undefined);
  /** Whether a condition of the rule leads only back to it. */
  const isInCycle = ({ head, calls }: Conditions): boolean =>
    calls.map(openHeads).some((open) => open.length > 0 && open.every((one) => componentOf(one) === componentOf(head)));
  // A cycle that another one leads into has a base, once that one has.
  const withoutBase = Map.groupBy(heads, componentOf)
    .entries()
    .filter(([component, members]) => component !== undefined && members.every((head) => head.rules.every(isInCycle)))
    .map(([component]) => component);
  const roots = new Set(withoutBase);
  const bySpan = Map.groupBy(rules, ({ rule }) => `${rule.span.file}:${rule.span.start}`);
  const circular = [...bySpan.values()].flatMap((alternatives) => {
    const [first] = alternatives;
    if (!first || first.rule.implicit || !alternatives.every(({ head }) => roots.has(componentOf(head)))) return [];
    const [predicate] = splitKey(first.rule.predicate);
    return [{ span: first.rule.span, predicate, component: componentOf(first.head) }];
  });
  return [...Map.groupBy(circular, ({ component }) => component).values()];
}

/** The heads of a call that nothing makes true. */
function openHeads(call: Call): readonly Head[] {
  return isFounded(call) ? [] : call.heads;
}

function isFounded({ areFactsExpected, heads }: Call): boolean {
  return areFactsExpected || heads.some((head) => head.isFounded);
}

/** Marks the heads that may be true, from the rules whose conditions may be. */
function findFounded(rules: readonly Conditions[]): void {
  const callers = new Map<Head, Call[]>();
  for (const call of new Set(rules.flatMap(({ calls }) => calls)))
    for (const head of call.heads) callers.getOrInsertComputed(head, () => []).push(call);
  const waiting = [...rules];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    if (next.head.isFounded || !next.calls.every(isFounded)) continue;
    next.head.isFounded = true;
    for (const call of callers.get(next.head) ?? []) waiting.push(...call.callers);
  }
}

function conditionsOf(program: DatalogProgram, areFactsExpected: Patterns): Conditions[] {
  const heads = new Map<string, Head>();
  const indexes = new Map<string, ArgumentIndex<Head>>();
  const headOf = (rule: ProgramRule): Head => {
    const { predicate } = rule;
    const args = headPatterns(rule);
    return heads.getOrInsertComputed(keyOf(predicate, args), () => {
      const head: Head = { predicate, args, rules: [], isFounded: false };
      indexes.getOrInsertComputed(predicate, () => new ArgumentIndex()).add(head, args);
      return head;
    });
  };
  const withHeads = program.rules.map((rule) => ({ rule, head: headOf(rule) }));
  const calls = new Map<string, Call>();
  return withHeads.map(({ rule, head }) => {
    const own = [...programCalls(rule.body)]
      .filter(({ isNegated }) => !isNegated)
      .map(({ call }) => {
        const args = call.args.map((term) => argumentPattern(term, rule.types));
        return calls.getOrInsertComputed(keyOf(call.predicate, args), () => {
          const found = (indexes.get(call.predicate)?.candidates(args) ?? []).filter((one) => mayUnify(one.args, args));
          return {
            heads: found,
            areFactsExpected: found.length === 0 || areFactsExpected(call.predicate, args),
            callers: [],
          };
        });
      });
    const conditions = { rule, head, calls: own };
    head.rules.push(conditions);
    for (const call of own) call.callers.push(conditions);
    return conditions;
  });
}

function keyOf(predicate: string, args: readonly ArgumentPattern[]): string {
  return `${predicate} ${listKey(args.map(argumentPatternKey))}`;
}

type Patterns = (predicate: string, args: readonly ArgumentPattern[]) => boolean;

/** Tells for which calls of predicates with rules facts are expected; `undefined` if there can be no cycle without. */
function expectedFacts(policy: Policy, program: DatalogProgram): Patterns | undefined {
  const rules = Map.groupBy(program.rules, ({ predicate }) => predicate);
  const called = (predicate: string): string[] => [
    ...new Set(
      (rules.get(predicate) ?? []).flatMap(({ body }) => [...programCalls(body)].map(({ call }) => call.predicate)),
    ),
  ];
  const { components, cyclic } = findCycles([...rules.keys()], called);
  const sizes = Map.groupBy(components.values(), (component) => component);
  const declared = new Set(policy.declarations.map(({ predicate, types }) => predicateKey(predicate, types.length)));
  const shouldBeDerived = (predicate: string): boolean => {
    const [name] = splitKey(predicate);
    if (name === "has_role" || name === "has_relation" || declared.has(predicate)) return false;
    return name === "has_permission" || name === "allow" || sizes.get(components.get(predicate) ?? -1)?.length !== 1;
  };
  if (!cyclic.values().some(shouldBeDerived)) return undefined;
  const facts = new Map<string, ArgumentIndex<readonly ArgumentPattern[]>>();
  for (const { predicate, args } of policy.tests.flatMap((test) => test.facts)) {
    const patterns = args.map(({ type, id }) => ({ types: new Set([type]), id }));
    facts.getOrInsertComputed(predicateKey(predicate, args.length), () => new ArgumentIndex()).add(patterns, patterns);
  }
  return (predicate, args) =>
    !shouldBeDerived(predicate) ||
    facts
      .get(predicate)
      ?.candidates(args)
      .some((fact) => mayUnify(fact, args)) === true;
}
