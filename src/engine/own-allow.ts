/**
 * The `allow` rules of a policy's own, and the permissions that they ask for. They replace the default ones, which ask for every permission, so a
 * permission that they leave out allows nothing. Oso Cloud accepts such policies without a warning.
 */
import { ArgumentIndex, mayMeet } from "../datalog/argument-index.ts";
import { argumentOf } from "../datalog/fact-types.ts";
import {
  callsOf,
  predicateKey,
  type Program,
  type ProgramCall,
  type ProgramRule,
  splitKey,
} from "../datalog/program.ts";
import type { Pattern } from "../datalog/reachability.ts";
import type { Diagnostic } from "../polar/diagnostic.ts";
import type { Rule } from "../polar/policy.ts";
import type { ActivePolicy } from "./active-policy.ts";

export interface OwnAllow {
  /** The first of the rules. */
  readonly rule: Rule;
  /** Whether one of the rules, or one that they lead to, may grant something for this permission. False is certain, true is not. */
  asksFor(permission: Pattern): boolean;
}

/** `undefined` where the default rules are there. */
export function ownAllow({ policy, program }: ActivePolicy): OwnAllow | undefined {
  const rule = policy.rules.find(({ predicate, implicit }) => predicate === "allow" && !implicit);
  if (!rule) return undefined;
  const asked = new Map(permissionKeys.map((key) => [key, new ArgumentIndex<Pattern>()]));
  for (const pattern of grantedBy(program)) asked.get(pattern.predicate)?.add(pattern, pattern.args);
  return {
    rule,
    asksFor: ({ predicate, args }) =>
      asked
        .get(predicate)
        ?.candidates(args)
        .some((pattern) => mayMeet(pattern.args, args)) === true,
  };
}

const isAskedByApplications = /^allow(?:_|$)/;

const permissionKeys = [3, 2].map((arity) => predicateKey("has_permission", arity));

/** The calls that can make some `allow`, `allow_field` or the like true by being true: an even number of `not`s lies between the two. */
function* grantedBy(program: Program): Generator<Pattern> {
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
      for (const { call, isNegated } of callsOf(rule.body)) {
        waiting.push({ predicate: call.predicate, grants: grants !== isNegated });
        if (grants !== isNegated) yield patternOf(call, rule);
      }
    }
  }
}

function patternOf({ predicate, args }: ProgramCall, { types }: ProgramRule): Pattern {
  return { predicate, args: args.map((term) => argumentOf(term, types)) };
}

export function warnOfReplacedDefault(active: ActivePolicy): Diagnostic[] {
  const own = ownAllow(active);
  if (!own) return [];
  return permissionKeys.flatMap((key): Diagnostic[] => {
    const permissions = active.program.rules.filter(({ predicate }) => predicate === key);
    const lost = permissions.filter(({ head, types }) => {
      return !own.asksFor({ predicate: key, args: head.map((term) => argumentOf(term, types)) });
    });
    const [first] = lost;
    if (!first) return [];
    const { none, some } = texts[splitKey(key)[1] === 2 ? "global" : "resource"];
    const { effect, hint } = lost.length === permissions.length ? none : some;
    return [
      {
        code: "rule/default-allow-replaced",
        severity: "warning",
        span: own.rule.span,
        message: `\`allow\` rules of your own replace the default one${effect}`,
        hint,
        related: [{ message: "this permission allows nothing", span: first.span }],
      },
    ];
  });
}

/** Where the rules ask for none of the permissions, and where they ask for some: then they may restrict what the default one would give. */
const texts = {
  resource: {
    none: {
      effect: ", so permissions, those of blocks included, allow nothing",
      hint: "write the default one again: `allow(actor: Actor, action: String, resource: Resource) if has_permission(actor, action, resource);`",
    },
    some: {
      effect: " and do not ask for all permissions, so some allow nothing",
      hint: "let an `allow` rule ask for `has_permission(actor, action, resource)` with their types and names too",
    },
  },
  global: {
    none: {
      effect: ", so global permissions allow nothing",
      hint: "write the default one for them again: `allow(actor: Actor, action: String) if has_permission(actor, action);`",
    },
    some: {
      effect: " and do not ask for all global permissions, so some allow nothing",
      hint: "let an `allow` rule ask for `has_permission(actor, action)` with their types and names too",
    },
  },
} as const;
