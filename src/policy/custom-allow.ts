/**
 * The custom `allow` rules of a policy, and the permissions that they allow. Custom rules replace the default rules,
 * which allow every permission, so a permission that they leave out is not enough to be allowed. Oso Cloud accepts such
 * policies without a warning.
 */
import type { CallPattern } from "../datalog/analysis/reachability.ts";
import { ArgumentIndex, mayUnify } from "../datalog/ir/argument-index.ts";
import {
  argumentPattern,
  type DatalogProgram,
  predicateKey,
  type ProgramCall,
  programCalls,
  type ProgramRule,
  splitKey,
  type VariableTypes,
} from "../datalog/ir/program.ts";
import type { Diagnostic } from "../polar/diagnostic.ts";
import type { Rule } from "../polar/policy.ts";
import type { ActivePolicy } from "./active-policy.ts";

export interface CustomAllow {
  /** The first custom `allow` rule. */
  readonly rule: Rule;
  /**
   * Whether a custom `allow` rule, or a rule that it depends on, asks for the permission. False is certain, true is
   * not.
   */
  asksFor(permission: CallPattern): boolean;
  /**
   * Whether a custom `allow` rule may allow an action with the name of the permission. False is certain, true is not.
   */
  mayAllow(permission: CallPattern): boolean;
}

/** `undefined` if the policy has the default rules. */
export function customAllow({ policy, program }: ActivePolicy): CustomAllow | undefined {
  const rule = policy.rules.find(({ predicate, implicit }) => predicate === "allow" && !implicit);
  if (!rule) return undefined;
  return { rule, asksFor: matcherOf(grantedBy(program)), mayAllow: matcherOf(allowedBy(program)) };
}

/** A function that tells whether a permission may match one of the patterns. */
function matcherOf(patterns: Iterable<CallPattern>): (permission: CallPattern) => boolean {
  const indexes = new Map(permissionKeys.map((key) => [key, new ArgumentIndex<CallPattern>()]));
  for (const pattern of patterns) indexes.get(pattern.predicate)?.add(pattern, pattern.args);
  return ({ predicate, args }) =>
    indexes
      .get(predicate)
      ?.candidates(args)
      .some((pattern) => mayUnify(pattern.args, args)) === true;
}

const isAskedByApplications = /^allow(?:_|$)/;

const permissionKeys = [3, 2].map((arity) => predicateKey("has_permission", arity));

/** The heads of `allow`, `allow_field` and similar rules, as patterns of the permission with the same name. */
function* allowedBy(program: DatalogProgram): Generator<CallPattern> {
  for (const rule of program.rules) {
    const [name, arity] = splitKey(rule.predicate);
    if (!isAskedByApplications.test(name)) continue;
    const { args } = headOf(rule);
    for (const key of permissionKeys) {
      const length = splitKey(key)[1];
      if (name === "allow" ? arity === length : arity > length) yield { predicate: key, args: args.slice(0, length) };
    }
  }
}

/**
 * The calls that can make an `allow`, `allow_field` or similar rule true by being true: an even number of negations
 * lies between the two.
 */
function* grantedBy(program: DatalogProgram): Generator<CallPattern> {
  const rules = Map.groupBy(program.rules, ({ predicate }) => predicate);
  const seen = new Set<string>();
  const waiting = [...rules.keys()]
    .filter((predicate) => isAskedByApplications.test(splitKey(predicate)[0]))
    .map((predicate) => ({ predicate, grants: true }));
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { predicate, grants } = next;
    const key = `${grants} ${predicate}`;
    if (seen.has(key)) continue;
    seen.add(key);
    for (const rule of rules.get(predicate) ?? []) {
      for (const { call, isNegated } of programCalls(rule.body)) {
        waiting.push({ predicate: call.predicate, grants: grants !== isNegated });
        if (grants !== isNegated) yield patternOf(call, rule.types);
      }
    }
  }
}

function headOf({ predicate, head, types }: ProgramRule): CallPattern {
  return patternOf({ predicate, args: head }, types);
}

function patternOf({ predicate, args }: Omit<ProgramCall, "kind">, types: VariableTypes): CallPattern {
  return { predicate, args: args.map((term) => argumentPattern(term, types)) };
}

export function replacedDefaultWarnings(active: ActivePolicy): Diagnostic[] {
  const own = customAllow(active);
  if (!own) return [];
  return permissionKeys.flatMap((key): Diagnostic[] => {
    const permissions = active.program.rules.filter(({ predicate }) => predicate === key);
    // A permission that no `allow` rule allows may still be a condition of other permissions that are allowed.
    const isAnyAllowed = permissions.some((permission) => own.mayAllow(headOf(permission)));
    const lost = permissions.filter((permission) => !isAnyAllowed || !own.asksFor(headOf(permission)));
    const [first] = lost;
    if (!first) return [];
    const { none, some } = texts[splitKey(key)[1] === 2 ? "global" : "resource"];
    const { effect, hint } = lost.length === permissions.length ? none : some;
    return [
      {
        code: "rule/default-allow-replaced",
        severity: "warning",
        span: own.rule.span,
        message: `custom \`allow\` rules replace the default rule${effect}`,
        hint,
        related: [{ message: "this permission is not enough to be allowed", span: first.span }],
      },
    ];
  });
}

/**
 * `none`: the rules ask for no permission. `some`: they ask for some, so they may be meant to restrict what the default
 * rule would allow.
 */
const texts = {
  resource: {
    none: {
      effect: ", so no permission is enough to be allowed, not even those of blocks",
      hint: "add the default rule again: `allow(actor: Actor, action: String, resource: Resource) if has_permission(actor, action, resource);`",
    },
    some: {
      effect: " and leave out some permissions, which are not enough to be allowed",
      hint: "add an `allow` rule that calls `has_permission(actor, action, resource)` for their types and names",
    },
  },
  global: {
    none: {
      effect: ", so no global permission is enough to be allowed",
      hint: "add the default rule for them again: `allow(actor: Actor, action: String) if has_permission(actor, action);`",
    },
    some: {
      effect: " and leave out some global permissions, which are not enough to be allowed",
      hint: "add an `allow` rule that calls `has_permission(actor, action)` for their types and names",
    },
  },
} as const;
