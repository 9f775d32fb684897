/**
 * Warnings about things that are allowed in a policy but hardly intended: rules that can never hold or repeat another
 * rule, names that nobody can have, tests that cannot fail, test facts that nothing uses. Each warning is certain:
 * something in the policy has to be corrected.
 */
import {
  type CallPattern,
  duplicateRules,
  type Reachability,
  reachability,
} from "../../datalog/analysis/reachability.ts";
import type { ArgumentPattern } from "../../datalog/ir/argument-index.ts";
import { predicateKey } from "../../datalog/ir/program.ts";
import type { Universe } from "../../datalog/ir/universe.ts";
import type { Diagnostic } from "../../polar/diagnostic.ts";
import type { Assertion, PolicyTest } from "../../polar/policy.ts";
import { quote } from "../../polar/report.ts";
import type { Span } from "../../polar/span.ts";
import { factKey } from "../request/keys.ts";
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
      : [...unreachableRuleWarnings(reach, active), ...ungrantedNameWarnings(reach, active)]),
    ...duplicateRuleWarnings(active),
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
    const hint = unknown.length > 0 ? unknown.join("; ") : "look for a typing mistake in a name or a type";
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
