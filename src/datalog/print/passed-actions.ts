/**
 * The actions of own `allow` rules that pass them on to `has_permission`, as the default rule does. Their variable would
 * let a client ask for any string, so it gets the permissions that the policy has for the type of the resource. If rules
 * or declarations leave the permissions of a type open, or if it has none, any string stays possible.
 */
import type { Policy } from "../../polar/policy.ts";
import { must } from "../../util/assert.ts";
import type { FactUse } from "../analysis/fact-types.ts";
import type { ArgumentPattern } from "../ir/argument-index.ts";
import {
  type DatalogProgram,
  headPatterns,
  predicateKey,
  type ProgramLiteral,
  type ProgramRule,
  type ProgramTerm,
} from "../ir/program.ts";

type Use = Pick<FactUse, "predicate" | "args">;

type Call = Extract<ProgramLiteral, { kind: "call" }>;

/** The call of `has_permission` to which an own `allow` rule passes its action. */
export function passedCall({ predicate, head, body, implicit }: ProgramRule): Call | undefined {
  if (implicit || predicate !== predicateKey("allow", head.length)) return undefined;
  return body.find(
    (literal): literal is Call =>
      literal.kind === "call" &&
      literal.predicate === predicateKey("has_permission", literal.args.length) &&
      isSame(literal.args[1], head[1]),
  );
}

function isSame(one: ProgramTerm | undefined, other: ProgramTerm | undefined): boolean {
  return one?.kind === "var" && other?.kind === "var" && one.index === other.index;
}

/** The facts, those of passed calls with the permissions that the policy has. */
export function withKnownActions(facts: readonly FactUse[], policy: Policy, { rules }: DatalogProgram): FactUse[] {
  const spans = new Set(rules.flatMap((rule) => (passedCall(rule) ? [rule.span] : [])));
  if (spans.size === 0) return [...facts];
  const isPassed = ({ predicate, args, span }: FactUse): boolean =>
    spans.has(span) && predicate.startsWith("has_permission/") && args[1]?.id === undefined && isString(args[1]);
  const heads = rules.filter(({ implicit }) => !implicit).map((rule) => ({ ...rule, args: headPatterns(rule) }));
  const others = [...facts.filter((use) => !isPassed(use)), ...heads];
  return facts.flatMap((use) => {
    const types = use.args[2]?.types;
    if (!isPassed(use) || (use.args.length > 2 && types === undefined)) return [use];
    return [...(types ?? [undefined])].flatMap((type): FactUse[] => {
      const args = type === undefined ? use.args : use.args.with(2, { ...must(use.args[2]), types: new Set([type]) });
      const found = others.filter(({ predicate, args: [, , owner] }) => {
        return predicate === use.predicate && (type === undefined || (owner?.types?.has(type) ?? true));
      });
      const declared = type === undefined ? policy.global.permissions : (policy.types.get(type)?.permissions ?? []);
      const ids = new Set([...declared, ...found.map(({ args: [, action] }) => action?.id)]);
      const names = ids.has(undefined) || ids.size === 0 ? [undefined] : ids;
      return [...names].map((id) => ({ ...use, args: args.with(1, { ...must(args[1]), id }) }));
    });
  });
}

function isString(pattern: ArgumentPattern | undefined): boolean {
  return pattern?.types?.size === 1 && pattern.types.has("String");
}

/** What a rule with a passed call can answer: what the facts and the heads of `has_permission` leave of its head. */
export function passedHeads(rule: ProgramRule, call: Call, sources: readonly Use[]): Use[] {
  return sources.flatMap(({ predicate, args }) => {
    if (predicate !== call.predicate) return [];
    const head = headPatterns(rule).map((pattern, position): ArgumentPattern => {
      const from = args[call.args.findIndex((term) => isSame(term, rule.head[position]))];
      if (from === undefined) return pattern;
      const types = from.types && (pattern.types?.intersection(from.types) ?? from.types);
      return { types: types ?? pattern.types, id: pattern.id ?? from.id };
    });
    return head.some(({ types }) => types?.size === 0) ? [] : [{ predicate: rule.predicate, args: head }];
  });
}
