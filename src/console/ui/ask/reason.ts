/**
 * The shortest reason of an explanation for people: the way from the actor to the resource along facts of the derivation,
 * or what a denial lacks least. It claims nothing that the explanation does not contain. Pure.
 */
import { type Fact, formatFact, formatValue, isObject, isSameValue, type Value } from "../facts/fact-text.ts";
import { reasonTexts as words } from "../texts/reason.ts";
import {
  type Call,
  type Explanation,
  factOf,
  type FailedCall,
  type Step,
  treeOf,
  type TreeNode,
} from "./explanation.ts";

/** A step of the way: a fact connects two objects. */
export interface WayStep {
  readonly from: Value;
  readonly to: Value;
  readonly fact: Fact;
  /** What the fact says from `from` to `to`: `is member of`. */
  readonly says: string;
  /** The name of the role, the relation or the fact. */
  readonly label: string;
  /** Whether the fact has `to` first. */
  readonly isReversed: boolean;
}

export interface PermissionReason {
  /** From the actor to the resource; empty if no facts of the derivation connect them. */
  readonly way: readonly WayStep[];
  /** The facts of the derivation that are not on the way. */
  readonly others: readonly Fact[];
  /** Facts about every object of a type, as the policy writes them. */
  readonly wide: readonly string[];
  /** How many conditions hold besides facts, such as comparisons and negations. */
  readonly conditions: number;
  /** The role on the resource that the actor has by the way; undefined if the last fact of the way says it. */
  readonly role: string | undefined;
  /** Whether the explanation leaves something out, so that there may be other facts. */
  readonly isCut: boolean;
}

/** Undefined for a denial, or if the search found no derivation. */
export function permissionReason(
  explanation: Explanation,
  actor: Value,
  resource: Value,
): PermissionReason | undefined {
  const tree = explanation.derivation === null ? undefined : treeOf(explanation);
  if (tree === undefined) return undefined;
  const nodes = nodesIn(tree);
  const facts = distinct(nodes.flatMap(({ kind, fact }) => (kind === "fact" && fact !== undefined ? [fact] : [])));
  const way = wayBetween(actor, resource, facts);
  const used = new Set(way.map(({ fact }) => fact));
  const wide = nodes.flatMap(({ kind, fact, text }) => (kind === "fact" && fact === undefined ? [text] : []));
  return {
    way,
    others: facts.filter((fact) => !used.has(fact)),
    wide: [...new Set(wide)],
    conditions: nodes.filter(({ kind }) => kind === "condition").length,
    role: way.length > 0 ? roleOf(explanation.derivation, actor, resource) : undefined,
    isCut: explanation.truncated !== null || nodes.some(({ kind }) => kind === "cut"),
  };
}

/** The role that the innermost rule gives: other roles of the actor follow from it. */
function roleOf(step: Step | null, actor: Value, resource: Value): string | undefined {
  if (step?.kind !== "rule") return undefined;
  for (const inner of step.steps) {
    const role = roleOf(inner, actor, resource);
    if (role !== undefined) return role;
  }
  if (step.steps.some((inner) => inner.kind === "fact" && isRoleOn(inner.fact, actor, resource))) return undefined;
  return isRoleOn(step.conclusion, actor, resource) ? (step.conclusion.args[1]?.id ?? undefined) : undefined;
}

function isRoleOn({ predicate, args: [who, , on] }: Call, actor: Value, resource: Value): boolean {
  const isArg = (arg: Call["args"][number] | undefined, value: Value): boolean =>
    arg?.type === value.type && arg.id === value.id;
  return predicate === "has_role" && isArg(who, actor) && isArg(on, resource);
}

export interface NearestAttempts {
  /** Facts of which each may be all that is missing, the nearest first. Only the node knows whether one is enough. */
  readonly candidates: readonly Fact[];
  /** What holds although the nearest rule excludes it. */
  readonly excluded: string | undefined;
}

const candidatesMax = 3;

/** What the attempts lack that lack one thing only. */
export function nearestAttempts({ denial }: Explanation): NearestAttempts {
  const candidates: Fact[] = [];
  let excluded: string | undefined;
  // Shallow ones first: they need the fewest rules.
  let level: readonly FailedCall[] = denial === null ? [] : [denial];
  while (level.length > 0) {
    const next: FailedCall[] = [];
    for (const { attempts } of level)
      for (const { missing } of attempts) {
        const [only, ...more] = missing;
        if (only === undefined || more.length > 0) continue;
        if (only.kind === "test") excluded ??= only.because ?? undefined;
        else {
          const fact = only.storable ? factOf(only.call) : undefined;
          if (fact !== undefined) candidates.push(fact);
          next.push(only);
        }
      }
    level = next;
  }
  // Most policies store roles and relations, and derive permissions from them.
  const sorted = distinct(candidates).toSorted((one, other) => Number(isPermission(one)) - Number(isPermission(other)));
  return { candidates: sorted.slice(0, candidatesMax), excluded };
}

function isPermission({ predicate }: Fact): boolean {
  return predicate === "has_permission" || predicate === "allow";
}

/** The way as one sentence behind the actor: `is member of Team:parsers, whose parent is Team:compilers`. */
export function wayText(way: readonly WayStep[]): string {
  return way.map(({ says, to }) => `${says} ${formatValue(to)}`).join(", ");
}

function nodesIn(node: TreeNode): TreeNode[] {
  return [node, ...node.children.flatMap(nodesIn)];
}

function distinct(facts: readonly Fact[]): Fact[] {
  return [...new Map(facts.map((fact) => [formatFact(fact), fact])).values()];
}

/** The shortest way, in both directions of each fact. */
function wayBetween(actor: Value, resource: Value, facts: readonly Fact[]): WayStep[] {
  const steps = facts.flatMap(stepsOf);
  const before = new Map<string, WayStep | undefined>([[formatValue(actor), undefined]]);
  let reached: readonly Value[] = [actor];
  while (reached.length > 0 && !before.has(formatValue(resource))) {
    const next: Value[] = [];
    for (const value of reached)
      for (const step of steps) {
        if (!isSameValue(step.from, value) || before.has(formatValue(step.to))) continue;
        before.set(formatValue(step.to), step);
        next.push(step.to);
      }
    reached = next;
  }
  const way: WayStep[] = [];
  for (let step = before.get(formatValue(resource)); step !== undefined; step = before.get(formatValue(step.from)))
    way.unshift(step);
  return way;
}

function stepsOf(fact: Fact): WayStep[] {
  const objects = fact.args.filter(isObject);
  const [from, to] = [objects[0], objects.at(-1)];
  if (from === undefined || to === undefined || objects.length < 2 || isSameValue(from, to)) return [];
  const [name, ...others] = fact.args.flatMap(({ type, id }) => (type === "String" ? [id] : []));
  const isNamed = name !== undefined && others.length === 0 && fact.args.length === 3;
  const label = name === undefined ? fact.predicate : isNamed && isWellKnown(fact) ? name : `${fact.predicate} ${name}`;
  const [there, back] = saysOf(fact, label, isNamed);
  return [
    { from, to, fact, says: there, label, isReversed: false },
    { from: to, to: from, fact, says: back, label, isReversed: true },
  ];
}

function isWellKnown({ predicate }: Fact): boolean {
  return predicate === "has_role" || predicate === "has_relation";
}

function saysOf({ predicate }: Fact, label: string, isNamed: boolean): readonly [string, string] {
  if (isNamed && predicate === "has_role") return words.byRole(label);
  return isNamed && predicate === "has_relation" ? words.byRelation(label) : words.byFact(label);
}
