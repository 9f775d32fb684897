/**
 * Warnings about things that are allowed in a policy but hardly intended: rules that can never hold or repeat another
 * rule, names that nobody can have, tests that cannot fail, test facts that nothing uses. Each warning is certain:
 * something in the policy has to be corrected.
 */
import { circularRules } from "../datalog/analysis/circular-rules.ts";
import { type CallPattern, duplicateRules, type Reachability, reachability } from "../datalog/analysis/reachability.ts";
import type { ArgumentPattern } from "../datalog/ir/argument-index.ts";
import { predicateKey } from "../datalog/ir/program.ts";
import type { Universe } from "../datalog/ir/universe.ts";
import type { Diagnostic } from "../polar/diagnostic.ts";
import type { Assertion, Expression, PolicyTest, Rule, Term } from "../polar/policy.ts";
import { quote } from "../polar/report.ts";
import type { Span } from "../polar/span.ts";
import { factKey } from "./keys.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { replacedDefaultWarnings } from "./custom-allow.ts";
import { checkFactSchema } from "./fact-schema.ts";
import { unknownNames } from "./unknown-names.ts";
import { unusedRuleWarnings } from "./unused-rules.ts";

export function policyWarnings(active: ActivePolicy, typingsMax: number): Diagnostic[] {
  const { policy, program, universe, signatures } = active;
  const reach = reachability(policy, program, universe, signatures, typingsMax);
  const noActor = noActorWarnings(active);
  return [
    ...(noActor.length > 0
      ? noActor
      : [
          ...unreachableRuleWarnings(reach, active),
          ...ungrantedNameWarnings(reach, active),
          ...unusedRelationWarnings(reach, active),
        ]),
    ...duplicateRuleWarnings(active),
    ...circularRuleWarnings(reach, active),
    ...unusedRuleWarnings(policy),
    ...replacedDefaultWarnings(active),
    ...policy.tests.flatMap((test) => testWarnings(test, reach, active)),
  ];
}

function warning(code: string, span: Span, message: string, hint: string): Diagnostic {
  return { code, severity: "warning", message, span, hint };
}

/** One warning instead of one for each rule. */
function noActorWarnings({ policy, universe }: ActivePolicy): Diagnostic[] {
  const rule = policy.rules.find(({ params }) => params.some(({ type }) => type === "Actor"));
  if (!rule || universe.concrete("Actor").size > 0) return [];
  const message = "the policy declares no actor, so no rule about actors can ever hold";
  return [warning("block/no-actor", rule.span, message, "declare one: `actor User {}`")];
}

function unreachableRuleWarnings({ dead }: Reachability, { program }: ActivePolicy): Diagnostic[] {
  const compiled = new Set(program.rules.map(({ span }) => span));
  return dead.map(({ span }) => {
    const { reason, hint } = compiled.has(span) ? unreachable.noFact : unreachable.contradiction;
    return warning("rule/unreachable", span, `this rule can never hold: ${reason}`, hint);
  });
}

const unreachable = {
  noFact: {
    reason: "no fact or rule has arguments of these types",
    hint: "compare the types in the head and after `matches` with those of the rules that it calls",
  },
  contradiction: {
    reason: "its conditions contradict each other",
    hint: "each variable needs one type and one value that satisfy all conditions on it",
  },
};

function duplicateRuleWarnings({ program }: ActivePolicy): Diagnostic[] {
  return duplicateRules(program).map(({ rule, first }) => ({
    ...warning("rule/duplicate", rule, "this rule says the same as an earlier one", "remove one of the two"),
    related: [{ message: "the earlier one", span: first }],
  }));
}

/** Rules whose condition is what they give, and rules that only imply each other. */
function circularRuleWarnings({ dead }: Reachability, { policy, program }: ActivePolicy): Diagnostic[] {
  const known = new Set(dead);
  const rules = policy.rules.filter((rule) => !known.has(rule));
  const useless = new Set(rules.filter((rule) => rule.body && asksForHead(rule.body, rule)).map(({ span }) => span));
  const cycles = circularRules(policy, program).flatMap((cycle): Diagnostic[] => {
    const [first, ...others] = cycle.filter(({ span }) => !useless.has(span));
    if (!first) return [];
    const facts = [...new Set(cycle.map(({ predicate }) => quote(predicate)))].join(" or ");
    const further = others.length === 1 ? "another rule" : `${others.length} other rules`;
    const [what, them] =
      others.length === 0
        ? ["this rule only implies itself", "it"]
        : [`this rule and ${further} only imply each other`, "them"];
    const message = `${what}: nothing but a fact of ${facts} could make ${them} true`;
    const hint = "add a rule with another condition, or `declare` the facts if applications store them";
    const related = others.slice(0, 3).map(({ span }) => ({ message: "another rule of the cycle", span }));
    return [{ ...warning("rule/circular", first.span, message, hint), ...(related.length > 0 && { related }) }];
  });
  const selfImplied = rules.flatMap(alternativesThatAskForHead).map(({ span }) => {
    const message = "this condition is the same as what the rule gives, so nobody gets anything by it";
    return warning("rule/self-implied", span, message, "name another condition, or remove this one");
  });
  return [...selfImplied, ...cycles];
}

function alternativesThatAskForHead(rule: Rule): Expression[] {
  const alternatives = rule.body?.kind === "or" ? rule.body.operands : rule.body ? [rule.body] : [];
  return alternatives.filter((one) => asksForHead(one, rule));
}

/** Whether the condition of a rule can only be true if its head is. */
function asksForHead(expression: Expression, { predicate, params }: Rule): boolean {
  const asks = (one: Expression): boolean => {
    if (one.kind === "and") return one.operands.some(asks);
    if (one.kind === "or") return one.operands.every(asks);
    if (one.kind !== "call" || one.predicate !== predicate || one.args.length !== params.length) return false;
    return one.args.every((arg, position) => isSameTerm(arg, params[position]?.term));
  };
  return asks(expression);
}

function isSameTerm(one: Term, other: Term | undefined): boolean {
  if (one.kind === "variable") return other?.kind === "variable" && one.name === other.name;
  return one.kind === "literal" && other?.kind === "literal" && one.type === other.type && one.id === other.id;
}

function ungrantedNameWarnings(reach: Reachability, { policy, universe }: ActivePolicy): Diagnostic[] {
  return policy.names.flatMap(({ name, kind, owner, span }): Diagnostic[] => {
    if (kind === "relation") return [];
    const types = owner === "global" ? undefined : universe.concrete(owner);
    const granting = kind === "role" ? ["has_role"] : ["has_permission", "allow"];
    if (granting.some((predicate) => reach.grants(predicateKey(predicate, types ? 3 : 2), name, types))) return [];
    const declared = `${kind} ${quote(name)} of ${owner === "global" ? "the `global` block" : quote(owner)}`;
    if (kind === "role") {
      const hint = "add a rule that uses it or grants it, or remove it";
      return [warning("block/role-never-granted", span, `${declared} is in no rule, so nobody can have it`, hint)];
    }
    const hint = `add a rule that gives it: ${quote(`"${name}" if …;`)}`;
    return [warning("block/permission-never-granted", span, `nobody can have ${declared}`, hint)];
  });
}

/** Relations whose facts a node refuses. If rules use another relation of the same types, it takes them all. */
function unusedRelationWarnings({ canHold }: Reachability, { policy, universe }: ActivePolicy): Diagnostic[] {
  const string = { types: new Set(["String"]), id: undefined };
  return policy.names.flatMap(({ name, kind, owner, span }): Diagnostic[] => {
    const type = policy.types.get(owner)?.relations.get(name);
    if (kind !== "relation" || type === undefined) return [];
    const [from, to] = [owner, type].map((one) => ({ types: universe.concrete(one), id: undefined }));
    if (!from || !to || canHold({ predicate: predicateKey("has_relation", 3), args: [from, string, to] })) return [];
    const fact = `has_relation(${owner}, String, ${type})`;
    const message = `no rule uses relation ${quote(name)} of ${quote(owner)}, so nodes refuse its facts, ${quote(fact)}`;
    const hint = `use it in a rule: ${quote(`"…" if "…" on "${name}";`)}, or, if only applications read it, add ${quote(`declare ${fact};`)}`;
    return [warning("block/relation-never-used", span, message, hint)];
  });
}

function testWarnings(test: PolicyTest, reach: Reachability, active: ActivePolicy): Diagnostic[] {
  const unused = test.facts.flatMap((fact): Diagnostic[] => {
    const unaccepted = checkFactSchema(fact, active);
    return unaccepted ? [warning("test/unused-fact", fact.span, unaccepted.problem, unaccepted.fix)] : [];
  });
  if (test.assertions.length === 0) {
    const message = `test ${quote(test.name)} has no assertions, so it cannot fail`;
    return [...unused, warning("test/cannot-fail", test.span, message, "assert something: `assert allow(…);`")];
  }
  const facts = new Set(test.facts.map(factKey));
  return [...unused, ...test.assertions.flatMap((assertion) => assertionWarnings(assertion, facts, reach, active))];
}

/** `facts` are the keys of the test's facts. */
function assertionWarnings(
  assertion: Assertion,
  facts: ReadonlySet<string>,
  reach: Reachability,
  active: ActivePolicy,
): Diagnostic[] {
  const { span, expected, predicate, params, iff } = assertion;
  const pattern = patternOf(assertion, active.universe);
  if (iff || !pattern) return [];
  if (!expected) {
    if (isConceivable(pattern, reach, active)) return [];
    const message = "no rule and no fact could ever make this true, so it cannot fail";
    const asked = params.map(({ term }) => (term.kind === "literal" ? { type: term.type, id: term.id } : {}));
    const unknown = unknownNames({ predicate, args: asked }, active);
    const hint =
      unknown.length > 0
        ? unknown.join("; ")
        : "look for a typing mistake in a name or a type, and at the order of the arguments";
    return [warning("test/cannot-fail", span, message, hint)];
  }
  const args = params.flatMap(({ term }) => (term.kind === "literal" ? [term] : []));
  if (args.length < params.length || !facts.has(factKey({ predicate, args }))) return [];
  const message = "this is one of the test's own facts, so it cannot fail";
  return [warning("test/cannot-fail", span, message, "assert what follows from the facts")];
}

/**
 * Whether a negative assertion is about something that exists in the policy: a rule or a fact may make it true for some
 * actor, or its name is declared. A test that denies, say, bots a permission that only users may have guards the rules
 * and is not a mistake.
 */
function isConceivable(pattern: CallPattern, reach: Reachability, { policy, universe }: ActivePolicy): boolean {
  const somebody = { types: undefined, id: undefined };
  const anybody = { ...pattern, args: pattern.args.map((arg, position) => (position === 0 ? somebody : arg)) };
  if (reach.canHold(anybody)) return true;
  const [, name, resource] = pattern.args;
  return (
    takesNames.has(pattern.predicate) &&
    policy.names.some(
      (declared) =>
        declared.name === name?.id &&
        (declared.owner === "global"
          ? resource === undefined
          : resource?.types?.isDisjointFrom(universe.concrete(declared.owner)) === false),
    )
  );
}

/** The predicates whose second argument is a declared name. */
const takesNames: ReadonlySet<string> = new Set(
  ["allow", "has_permission", "has_role"].flatMap((name) => [predicateKey(name, 2), predicateKey(name, 3)]),
);

/** `undefined` if no value has the types of the assertion. */
export function patternOf(
  { predicate, params }: Pick<Assertion, "predicate" | "params">,
  universe: Universe,
): CallPattern | undefined {
  const args = params.map(({ term }): ArgumentPattern => {
    if (term.kind === "variable") return { types: variableTypes(term.name, params, universe), id: undefined };
    return term.kind === "now"
      ? { types: new Set(["Integer"]), id: undefined }
      : { types: new Set([term.type]), id: term.id };
  });
  if (args.some(({ types }) => types?.size === 0)) return undefined;
  return { predicate: predicateKey(predicate, params.length), args };
}

/** The concrete types that all occurrences of the variable allow; `undefined` for any type. */
export function variableTypes(
  name: string,
  params: Assertion["params"],
  universe: Universe,
): ReadonlySet<string> | undefined {
  const allowed = params.flatMap(({ term, type }) =>
    term.kind === "variable" && term.name === name && type !== undefined ? [universe.concrete(type)] : [],
  );
  return allowed.length === 0 ? undefined : allowed.reduce((one, other) => one.intersection(other));
}
