/** An explanation of the node as a tree to show: for a permission its derivation, for a denial the nearest attempts. */
import { type Fact, isObject, isSameValue, parseFact, type Value } from "../facts/fact-text.ts";

/** As `POST /api/explain` answers. The schema is in the OpenAPI document. */
export interface Explanation {
  readonly allowed: boolean;
  /** Null without a policy, which allows nothing. */
  readonly policy: object | null;
  readonly derivation: Step | null;
  readonly denial: FailedCall | null;
  /** Sentences about names that the policy does not have. */
  readonly unknown: readonly string[];
  readonly truncated: { readonly message: string } | null;
}

export interface Call {
  readonly text: string;
  readonly predicate: string;
  readonly args: readonly { readonly type: string | null; readonly id: string | null }[];
}

/** The text of a rule, and where it is. */
export interface Rule {
  readonly text: string;
  readonly file: string;
  readonly line: number;
}

export type Origin = "stored" | "context" | "policy" | "derived" | "many";

export type Step =
  | { readonly kind: "fact"; readonly fact: Call; readonly from: Origin; readonly rule: Rule | null }
  | {
      readonly kind: "rule";
      readonly conclusion: Call;
      readonly rule: Rule | null;
      readonly times: number;
      readonly steps: readonly Step[];
    }
  | { readonly kind: "condition"; readonly text: string }
  | { readonly kind: "again" | "cut"; readonly conclusion: Call };

export interface FailedCall {
  readonly call: Call;
  readonly storable: boolean;
  readonly attempts: readonly Attempt[];
  readonly more: boolean;
  readonly again: boolean;
  readonly did_you_mean: string | null;
}

interface Attempt {
  readonly rule: Rule | null;
  readonly held: readonly (
    | { readonly kind: "call"; readonly call: Call; readonly from: Origin }
    | { readonly kind: "condition"; readonly text: string }
  )[];
  readonly missing: readonly (
    | ({ readonly kind: "call" } & FailedCall)
    | { readonly kind: "test"; readonly text: string; readonly because: string | null }
  )[];
}

export interface TreeNode {
  /** `derived` holds by a rule; `attempt` is a rule that failed; `missing` and `unmet` are what it lacks. */
  readonly kind: "derived" | "fact" | "condition" | "again" | "cut" | "attempt" | "missing" | "unmet";
  /** In the syntax of policies. */
  readonly text: string;
  /** The fact, if all its values are known. */
  readonly fact?: Fact | undefined;
  readonly origin?: Origin;
  /** `null` for the default rules of `allow`, which no text contains. */
  readonly rule?: Rule | null;
  /** The values along which a rule was applied several times. */
  readonly path?: readonly Value[];
  /** How often a rule was applied that follows no path, if more than once. */
  readonly times?: number;
  /** A fact that can be stored, which would remedy this. */
  readonly addable?: Fact | undefined;
  /** What is true although it must not be. */
  readonly because?: string | undefined;
  readonly didYouMean?: string | undefined;
  /** Whether there are more attempts than these. */
  readonly hasMore?: boolean;
  readonly children: readonly TreeNode[];
}

/** The tree of an explanation; undefined if the search found nothing within its limits. */
export function treeOf({ derivation, denial }: Explanation): TreeNode | undefined {
  if (derivation !== null) return stepNode(derivation);
  return denial === null ? undefined : failedNode(denial);
}

/** The stored and context facts on which an explanation depends: those that hold, once each. */
export function factsIn({ derivation, denial }: Explanation): Fact[] {
  const found = derivation !== null ? factsOfStep(derivation) : denial === null ? [] : factsOfFailure(denial);
  return [...new Map(found.map((fact) => [JSON.stringify(fact), fact])).values()];
}

function stepNode(step: Step): TreeNode {
  switch (step.kind) {
    case "fact":
      return {
        kind: "fact",
        text: step.fact.text,
        fact: factOf(step.fact),
        origin: step.from,
        rule: step.rule,
        children: [],
      };
    case "condition":
      return { kind: "condition", text: step.text, children: [] };
    case "again":
    case "cut":
      return { kind: step.kind, text: step.conclusion.text, children: [] };
    case "rule": {
      const { conclusion, rule, times, steps } = step;
      const path = times > 1 ? pathOf(steps) : [];
      return {
        kind: "derived",
        text: conclusion.text,
        rule,
        ...(path.length > 0 ? { path } : times > 1 && { times }),
        children: steps.map(stepNode),
      };
    }
  }
}

function failedNode({ call, storable, attempts, more, again, did_you_mean: didYouMean }: FailedCall): TreeNode {
  const addable = storable ? factOf(call) : undefined;
  const known = didYouMean === null ? {} : { didYouMean };
  if (again) return { kind: "again", text: call.text, addable, children: [] };
  return { kind: "missing", text: call.text, addable, ...known, hasMore: more, children: attempts.map(attemptNode) };
}

function attemptNode({ rule, held, missing }: Attempt): TreeNode {
  const holding = held.map((condition): TreeNode => {
    if (condition.kind === "condition") return { kind: "condition", text: condition.text, children: [] };
    const { call, from } = condition;
    const fact = from === "derived" || from === "many" ? undefined : factOf(call);
    return { kind: "fact", text: call.text, fact, origin: from, children: [] };
  });
  const lacking = missing.map((condition): TreeNode => {
    if (condition.kind === "call") return failedNode(condition);
    const because = condition.because ?? undefined;
    return { kind: "unmet", text: condition.text, because, children: [] };
  });
  return { kind: "attempt", text: rule?.text ?? "", rule, children: [...holding, ...lacking] };
}

/** Undefined if the call stands for several facts. */
export function factOf({ predicate, args }: Call): Fact | undefined {
  const values = args.flatMap(({ type, id }) => (type === null || id === null || id === "*" ? [] : [{ type, id }]));
  return values.length === args.length && predicate !== "" ? { predicate, args: values } : undefined;
}

/**
 * The objects that facts of one kind connect: `a`, `b` and `c` for `parent(a, b)` and `parent(b, c)`. Empty if the facts
 * are no chain.
 */
function pathOf(steps: readonly Step[]): Value[] {
  const facts = steps.flatMap((step) => (step.kind === "fact" ? (factOf(step.fact) ?? []) : []));
  const chains = Map.groupBy(facts, ({ predicate, args }) =>
    JSON.stringify([predicate, args.filter((arg) => !isObject(arg))]),
  );
  const longest = [...chains.values()].reduce((one, other) => (other.length > one.length ? other : one), []);
  const links = longest.flatMap(({ args }) => {
    const objects = args.filter(isObject);
    const [from, to] = [objects[0], objects.at(-1)];
    return objects.length < 2 || from === undefined || to === undefined ? [] : [{ from, to }];
  });
  if (links.length < 2) return [];
  return chainOf(links) ?? chainOf(links.toReversed()) ?? [];
}

function chainOf(links: readonly { readonly from: Value; readonly to: Value }[]): Value[] | undefined {
  const [first, ...rest] = links;
  if (first === undefined) return undefined;
  const path = [first.from, first.to];
  for (const { from, to } of rest) {
    const last = path.at(-1);
    if (last === undefined || !isSameValue(from, last)) return undefined;
    path.push(to);
  }
  return path;
}

function factsOfStep(step: Step): Fact[] {
  if (step.kind === "rule") return step.steps.flatMap(factsOfStep);
  return step.kind === "fact" && step.from !== "policy" ? [factOf(step.fact) ?? []].flat() : [];
}

/** Also the facts that break a negated condition. */
function factsOfFailure({ attempts }: FailedCall): Fact[] {
  return attempts.flatMap(({ held, missing }) => [
    ...held.flatMap((condition) =>
      condition.kind === "call" && (condition.from === "stored" || condition.from === "context")
        ? (factOf(condition.call) ?? [])
        : [],
    ),
    ...missing.flatMap((condition) =>
      condition.kind === "call"
        ? factsOfFailure(condition)
        : condition.because === null
          ? []
          : (parseFact(condition.because) ?? []),
    ),
  ]);
}
