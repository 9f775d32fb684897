/**
 * Unused rules: rules that change no decision, because no rule on the way from `allow` calls their predicate. Oso Cloud
 * accepts such policies without a warning.
 */
import { predicateKey, splitKey } from "../datalog/ir/program.ts";
import type { Diagnostic } from "../polar/diagnostic.ts";
import type { Expression, Policy, Rule } from "../polar/policy.ts";
import { quote } from "../polar/report.ts";
import { must } from "../util/assert.ts";

/** The keys of predicates that applications query by name: also `allow_field` and similar ones. */
const queriedByName = /^(?:allow(?:_|\/)|has_(?:role|permission)\/[23]$|has_relation\/3$)/;

export function unusedRuleWarnings(policy: Policy): Diagnostic[] {
  const calls = callsOf(policy.rules);
  // A predicate that a test asserts is one that applications query, unless its name says that it should deny.
  const asserted = policy.tests
    .flatMap(({ assertions }) => assertions)
    .filter(({ predicate }) => !isMeantToDeny(predicate));
  const queried = calls.keys().filter((key) => queriedByName.test(key));
  const used = reachedFrom([...queried, ...asserted.map(keyOf)], calls);
  const unused = [...calls.keys()].filter((key) => !used.has(key));
  const firsts = new Map(policy.rules.toReversed().map((rule) => [keyOf(rule), rule]));
  const arities = Map.groupBy(
    new Set([...calls.keys(), ...calls.values().flatMap((called) => called)]),
    (key) => splitKey(key)[0],
  );
  return notCalled(unused, calls).map((key) => {
    const [name, arity] = splitKey(key);
    const isOneOfSeveral = (arities.get(name)?.length ?? 0) > 1;
    const withArity = `${quote(name)} with ${arity === 1 ? "one argument" : `${arity} arguments`}`;
    return unusedWarning(isOneOfSeveral ? withArity : quote(name), must(firsts.get(key)));
  });
}

/**
 * The unused predicates that no other unused one calls, and one of each cycle. A predicate that only an unused one
 * calls gets no warning of its own.
 */
function notCalled(unused: readonly string[], calls: Calls): string[] {
  const calledByOthers = new Set(unused.flatMap((key) => [...(calls.get(key) ?? [])].filter((other) => other !== key)));
  const seen = new Set<string>();
  const uncalledFirst = unused.toSorted(
    (one, other) => Number(calledByOthers.has(one)) - Number(calledByOthers.has(other)),
  );
  const reported = new Set<string>();
  for (const key of uncalledFirst) {
    if (seen.has(key)) continue;
    reported.add(key);
    reachedFrom([key], calls, seen);
  }
  return unused.filter((key) => reported.has(key));
}

function unusedWarning(name: string, { predicate, span, body }: Rule): Diagnostic {
  const what = body === undefined ? "fact" : "rule";
  return {
    code: "rule/unused",
    severity: "warning",
    span,
    message: `${name} is not used by any rule on the way from \`allow\`, so this ${what} has no effect on authorize, list or actions`,
    hint: isMeantToDeny(predicate)
      ? `only \`not\` takes access away: add ${quote(`and not ${predicate}(…)`)} to the rules of permissions, or to an \`allow\` rule that calls \`has_permission(…)\``
      : "use it in a rule, or remove it; a query that names it is still answered",
  };
}

const denials =
  /(?:^|_)(?:den(?:y|ied|ies)|forbid(?:s|den)?|block(?:s|ed)?|reject(?:s|ed)?|disallow(?:s|ed)?|prohibit(?:s|ed)?|refuse[sd]?|ban(?:s|ned)?|revoke[sd]?|suspend(?:s|ed)?|exclude[sd]?|cannot|cant|(?:can|may|must|should)_not|not_(?:allowed|permitted|authori[sz]ed)|un(?:allowed|authori[sz]ed))(?:_|$)/;

/** Whether a word in the name (in `snake_case` or `camelCase`) means a denial. */
function isMeantToDeny(name: string): boolean {
  const words = name
    .replaceAll(/(\p{Ll}|\d)(?=\p{Lu})/gu, "$1_")
    .replaceAll("::", "_")
    .replace(/\?$/, "");
  // `can_block(user, other)` says what an actor may do to others, and takes no access away.
  return denials.test(words.toLowerCase()) && !/^(?:can|may|must|should)_(?!not)/.test(words.toLowerCase());
}

function keyOf({ predicate, params }: Pick<Rule, "predicate" | "params">): string {
  return predicateKey(predicate, params.length);
}

/** The predicate keys that the rules of each predicate key call. */
type Calls = ReadonlyMap<string, ReadonlySet<string>>;

function callsOf(rules: readonly Rule[]): Calls {
  const calls = new Map<string, Set<string>>();
  for (const rule of rules) {
    const called = calls.getOrInsertComputed(keyOf(rule), () => new Set());
    for (const key of calledIn(rule.body)) called.add(key);
  }
  return calls;
}

/** The roots and all predicates that they call, directly or indirectly. Predicates in `seen` are not followed again. */
function reachedFrom(roots: readonly string[], calls: Calls, seen = new Set<string>()): ReadonlySet<string> {
  const waiting = [...roots];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    waiting.push(...(calls.get(next) ?? []));
  }
  return seen;
}

function* calledIn(expression: Expression | undefined): Generator<string> {
  if (expression?.kind === "call") yield predicateKey(expression.predicate, expression.args.length);
  if (expression?.kind === "not") yield* calledIn(expression.operand);
  if (expression?.kind !== "and" && expression?.kind !== "or") return;
  for (const operand of expression.operands) yield* calledIn(operand);
}
