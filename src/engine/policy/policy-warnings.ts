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
import type { Diagnostic } from "../../polar/diagnostic.ts";
import type { Assertion, DeclaredName, Policy, PolicyTest } from "../../polar/policy.ts";
import { quote } from "../../polar/report.ts";
import { must } from "../../util/assert.ts";
import type { ActivePolicy } from "./active-policy.ts";
import { replacedDefaultWarnings } from "./custom-allow.ts";
import { checkFactSchema } from "./fact-schema.ts";
import { unusedRuleWarnings } from "./unused-rules.ts";

export function policyWarnings(active: ActivePolicy, typingsMax: number): Diagnostic[] {
  const { policy, program, universe, signatures } = active;
  const reach = reachability(policy, program, universe, signatures, typingsMax);
  return [
    ...(hasNoActor(active)
      ? noActorWarnings(policy)
      : [...unreachableRuleWarnings(reach, active), ...ungrantedNameWarnings(reach, active)]),
    ...duplicateRuleWarnings(active),
    ...unusedRuleWarnings(policy),
    ...replacedDefaultWarnings(active),
    ...policy.tests.flatMap((test) => testWarnings(test, reach, active)),
  ];
}

function warning(code: string, span: Diagnostic["span"], message: string, more: Partial<Diagnostic> = {}): Diagnostic {
  return { code, severity: "warning", message, span, ...more };
}

function hasNoActor({ policy, universe }: ActivePolicy): boolean {
  return universe.concrete("Actor").size === 0 && rulesOfActors(policy).length > 0;
}

function rulesOfActors(policy: Policy): Policy["rules"] {
  return policy.rules.filter((rule) => rule.params.some(({ type }) => type === "Actor"));
}

/** One warning instead of one for each rule. */
function noActorWarnings(policy: Policy): Diagnostic[] {
  return rulesOfActors(policy)
    .slice(0, 1)
    .map(({ span }) =>
      warning("block/no-actor", span, "the policy declares no actor, so no rule about actors can ever hold", {
        hint: "declare one: `actor User {}`",
      }),
    );
}

function unreachableRuleWarnings({ dead }: Reachability, { program }: ActivePolicy): Diagnostic[] {
  const compiled = new Set(program.rules.map(({ span }) => span));
  return dead.map(({ span }) =>
    compiled.has(span)
      ? warning("rule/unreachable", span, "this rule can never hold: no fact or rule has arguments of these types", {
          hint: "compare the types in the head and after `matches` with those of the rules that it calls",
        })
      : warning("rule/unreachable", span, "this rule can never hold: its conditions contradict each other", {
          hint: "each variable needs one type and one value that satisfy all conditions on it",
        }),
  );
}

function duplicateRuleWarnings({ program }: ActivePolicy): Diagnostic[] {
  return duplicateRules(program).map(({ rule, first }) =>
    warning("rule/duplicate", rule, "this rule says the same as an earlier one", {
      hint: "remove one of the two",
      related: [{ message: "the earlier one", span: first }],
    }),
  );
}

function ungrantedNameWarnings(reach: Reachability, { policy, universe }: ActivePolicy): Diagnostic[] {
  return policy.names.flatMap(({ name, kind, owner, span }): Diagnostic[] => {
    if (kind === "relation") return [];
    const types = owner === "global" ? undefined : universe.concrete(owner);
    if (grantedThrough(kind).some((predicate) => reach.grants(predicateKey(predicate, types ? 3 : 2), name, types)))
      return [];
    const where = owner === "global" ? "the `global` block" : quote(owner);
    return kind === "role"
      ? [
          warning(
            "block/role-never-granted",
            span,
            `role ${quote(name)} of ${where} is in no rule, so nobody can have it`,
            {
              hint: "add a rule that uses it or grants it, or remove it",
            },
          ),
        ]
      : [
          warning("block/permission-never-granted", span, `nobody can have permission ${quote(name)} of ${where}`, {
            hint: `add a rule that gives it: ${quote(`"${name}" if …;`)}`,
          }),
        ];
  });
}

function grantedThrough(kind: DeclaredName["kind"]): readonly string[] {
  return kind === "role" ? ["has_role"] : ["has_permission", "allow"];
}

function testWarnings(test: PolicyTest, reach: Reachability, active: ActivePolicy): Diagnostic[] {
  const facts = test.facts.map(({ predicate, args }): CallPattern => ({
    predicate: predicateKey(predicate, args.length),
    args: args.map(({ type, id }) => ({ types: new Set([type]), id })),
  }));
  const unused = test.facts.flatMap((fact): Diagnostic[] => {
    const unaccepted = checkFactSchema(fact, active);
    return unaccepted ? [warning("test/unused-fact", fact.span, unaccepted.problem, { hint: unaccepted.fix })] : [];
  });
  if (test.assertions.length === 0) {
    const message = `test ${quote(test.name)} has no assertions, so it cannot fail`;
    return [
      ...unused,
      warning("test/cannot-fail", test.span, message, { hint: "assert something: `assert allow(…);`" }),
    ];
  }
  return [...unused, ...test.assertions.flatMap((assertion) => assertionWarnings(assertion, facts, reach, active))];
}

function assertionWarnings(
  assertion: Assertion,
  facts: readonly CallPattern[],
  reach: Reachability,
  active: ActivePolicy,
): Diagnostic[] {
  const { span, expected, params, iff } = assertion;
  const pattern = patternOf(assertion, active.universe);
  if (iff || !pattern) return [];
  if (!expected && !isConceivable(pattern, reach, active)) {
    return [
      warning("test/cannot-fail", span, "no rule and no fact could ever make this true, so it cannot fail", {
        hint: "look for a typing mistake in a name or a type",
      }),
    ];
  }
  const isStated =
    expected && params.every(({ term }) => term.kind === "literal") && facts.some((fact) => same(fact, pattern));
  if (!isStated) return [];
  return [
    warning("test/cannot-fail", span, "this is one of the test's own facts, so it cannot fail", {
      hint: "assert what follows from the facts",
    }),
  ];
}

/**
 * Whether a negative assertion is about something that exists in the policy: a rule or a fact may make it true for some
 * actor, or its name is declared. A test that denies, say, bots a permission that only users may have guards the rules
 * and is not a mistake.
 */
function isConceivable(pattern: CallPattern, reach: Reachability, { policy, universe }: ActivePolicy): boolean {
  const [, ...rest] = pattern.args;
  const somebody = { types: undefined, id: undefined };
  const anybody = { ...pattern, args: pattern.args.length === 0 ? [] : [somebody, ...rest] };
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
  universe: ActivePolicy["universe"],
): CallPattern | undefined {
  const args = params.map(({ term }): ArgumentPattern => {
    if (term.kind !== "variable")
      return {
        types: new Set([term.kind === "now" ? "Integer" : term.type]),
        id: term.kind === "now" ? undefined : term.id,
      };
    const asked = params.flatMap(({ term: other, type }) =>
      other.kind === "variable" && other.name === term.name && type !== undefined ? [universe.concrete(type)] : [],
    );
    const types = asked.length === 0 ? undefined : asked.reduce((one, other) => new Set(one).intersection(other));
    return { types, id: undefined };
  });
  if (args.some(({ types }) => types?.size === 0)) return undefined;
  return { predicate: predicateKey(predicate, params.length), args };
}

function same(fact: CallPattern, pattern: CallPattern): boolean {
  return (
    fact.predicate === pattern.predicate &&
    fact.args.every((arg, index) => {
      const other = must(pattern.args[index]);
      return arg.id === other.id && other.types?.isSupersetOf(must(arg.types)) === true;
    })
  );
}
