/** A compiled policy, ready to answer: the checked policy, its Datalog program, and the fact types that it accepts. */
import { LRUCache } from "lru-cache";
import { defaultLimits, type Limits } from "../config/limits.ts";
import { indexOrders, type Orders } from "../datalog/analysis/index-orders.ts";
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { constantKey, stringKey } from "../datalog/ir/key.ts";
import type { Constant, DatalogProgram, ProgramLiteral } from "../datalog/ir/program.ts";
import type { Signatures } from "../datalog/ir/signature.ts";
import type { Universe } from "../datalog/ir/universe.ts";
import { compileProgram, type ProgramLimits } from "../datalog/pipeline.ts";
import { compile } from "../polar/compile.ts";
import type { PolarLimits } from "../polar/limits.ts";
import type { Policy } from "../polar/policy.ts";
import type { Source } from "../polar/source.ts";
import { AppError } from "../util/app-error.ts";
import { isTrailer } from "./stored-policy.ts";

export interface ActivePolicy {
  readonly policy: Policy;
  /** The texts in which the spans of rules are; empty if they are not known. */
  readonly sources: readonly Source[];
  readonly universe: Universe;
  readonly program: DatalogProgram;
  /** The fact types that may be stored; predicates are keys (`has_role/3`). */
  readonly factTypes: readonly FactType[];
  /** The argument types with which each predicate can hold, without context facts. */
  readonly signatures: Signatures;
  /** The indexes that the fact tables need. */
  readonly orders: Orders;
  /** All constants in rules. */
  readonly constants: readonly Constant[];
  /** All types in rules and declarations. */
  readonly types: ReadonlySet<string>;
}

/** A policy that one node has accepted must work on every node, so the limits of a node apply only to new policies. */
export const acceptedPolicyLimits: Limits = {
  ...defaultLimits,
  policyBytesMax: Number.MAX_SAFE_INTEGER,
  policyNestingMax: Number.MAX_SAFE_INTEGER,
  policyExpandedItemsMax: Number.MAX_SAFE_INTEGER,
  policyAlternativesMax: Number.MAX_SAFE_INTEGER,
  policyTypingsMax: Number.MAX_SAFE_INTEGER,
  policyConditionsMax: Number.MAX_SAFE_INTEGER,
  policyRuleConditionsMax: Number.MAX_SAFE_INTEGER,
  policyPredicatesMax: Number.MAX_SAFE_INTEGER,
};

/** A policy that becomes active is needed several times, to create its tables and to answer. */
const recentPolicies = new LRUCache<string, ActivePolicy>({ max: 4 });

/** Policies that another thread has compiled because they will become active. */
interface Compiled {
  readonly source: string;
  readonly filename: string | null;
  readonly active: ActivePolicy;
}

let compiledAhead: readonly Compiled[] = [];
const compiledAheadMax = 2;

/**
 * Compiles a policy that was checked when it was accepted. If it does not compile now, another node with a newer
 * version has accepted it.
 */
export function activate(source: string, filename: string | null): ActivePolicy {
  const key = keyOf(source, filename);
  const recent = recentPolicies.get(key);
  if (recent) return recent;
  const ahead = findCompiled(source, filename);
  const active =
    ahead === undefined ? compileAccepted(source, filename) : { ...ahead.active, sources: sourcesOf(source, filename) };
  recentPolicies.set(key, active);
  return active;
}

/** As `activate`, but always compiles. */
export function compileAccepted(source: string, filename: string | null): ActivePolicy {
  const sources = sourcesOf(source, filename);
  const { policy, diagnostics } = compile(sources, polarLimits(acceptedPolicyLimits), { warns: false });
  if (!policy)
    throw new AppError("not_ready", "the active policy needs a newer version of this software", { cause: diagnostics });
  return prepare(policy, acceptedPolicyLimits, sources);
}

/** Whether `activate` need not compile the policy. */
export function isCompiled(source: string, filename: string | null): boolean {
  return recentPolicies.has(keyOf(source, filename)) || findCompiled(source, filename) !== undefined;
}

/** From now on `activate` returns this policy, which `compileAccepted` has made of the source in another thread. */
export function adoptCompiled(source: string, filename: string | null, active: ActivePolicy): void {
  compiledAhead = [{ source, filename, active }, ...compiledAhead].slice(0, compiledAheadMax);
}

/** A policy with this source, or with this source before a trailer: a comment of one line, which changes nothing. */
function findCompiled(source: string, filename: string | null): Compiled | undefined {
  return compiledAhead.find(
    (compiled) =>
      compiled.filename === filename &&
      source.startsWith(compiled.source) &&
      (source.length === compiled.source.length || isTrailer(source.slice(compiled.source.length))),
  );
}

const keyOf = (source: string, filename: string | null): string =>
  (filename === null ? "-" : stringKey(filename)) + source;

const sourcesOf = (source: string, filename: string | null): readonly Source[] => [
  { name: filename ?? "policy.polar", text: source },
];

/** Compiles a checked policy. Throws `TooLarge`. */
export function prepare(policy: Policy, limits: Limits, sources: readonly Source[] = []): ActivePolicy {
  const { universe, program, factTypes, signatures } = compileProgram(policy, programLimits(limits));
  const constants = collectConstants(program);
  const types = new Set([
    ...policy.types.keys(),
    ...constants.map((constant) => constant.type),
    ...program.rules.flatMap((rule) => rule.types.flatMap((allowed) => [...(allowed ?? [])])),
    ...factTypes.flatMap((fact) => fact.types.filter((type) => type !== undefined)),
  ]);
  const orders = indexOrders(program);
  return { policy, sources, universe, program, factTypes, signatures, orders, constants, types };
}

export function programLimits(limits: Limits): ProgramLimits {
  return {
    alternativesMax: limits.policyAlternativesMax,
    ruleConditionsMax: limits.policyRuleConditionsMax,
    conditionsMax: limits.policyConditionsMax,
    typingsMax: limits.policyTypingsMax,
    predicatesMax: limits.policyPredicatesMax,
  };
}

export function polarLimits(limits: Limits): PolarLimits {
  return {
    sourceBytesMax: limits.policyBytesMax,
    depthMax: limits.policyNestingMax,
    expandedItemsMax: limits.policyExpandedItemsMax,
    diagnosticsMax: limits.policyProblemsMax,
  };
}

/** Several files as one text: a policy is stored as one source. */
export function joinSources(sources: readonly Source[]): string {
  return sources.map((source) => source.text).join("\n");
}

function collectConstants(program: DatalogProgram): Constant[] {
  const found = new Map<string, Constant>();
  const add = (value: Constant): void => void found.set(constantKey(value), value);
  const visit = (literal: ProgramLiteral): void => {
    if (literal.kind === "not") literal.body.forEach(visit);
    const terms = literal.kind === "call" ? literal.args : "left" in literal ? [literal.left, literal.right] : [];
    for (const term of terms) if (term.kind === "const") add(term.value);
  };
  for (const rule of program.rules) {
    for (const term of rule.head) if (term.kind === "const") add(term.value);
    rule.body.forEach(visit);
  }
  return [...found.values()];
}
