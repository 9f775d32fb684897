/**
 * Rules that are written and change no decision: those of predicates that nothing asks for on the way from `allow`, and permissions of blocks that `allow`
 * rules of the policy's own pass over. Oso Cloud takes such policies without a word.
 */
import type { Diagnostic } from "../polar/diagnostic.ts";
import type { Expression, Policy, Rule } from "../polar/policy.ts";
import { quote } from "../polar/report.ts";
import { must } from "../util/assert.ts";

/** Applications ask for these by name, and for `allow_field` and its like. */
const askedFor = ["allow", "has_role", "has_permission", "has_relation"];
const alsoAskedFor = /^allow_/;

const meantToDeny = /^(deny|denied|forbid|forbidden|block|blocked|reject|disallow|prohibit|refuse)/;

export function warnOfUnusedRules(policy: Policy): Diagnostic[] {
  const calls = callsOf(policy.rules);
  // What a test asserts is meant to be asked for, unless its name says that it should deny.
  const asserted = policy.tests.flatMap(({ assertions }) => assertions.map(({ predicate }) => predicate));
  const meant = [
    ...[...calls.keys()].filter((predicate) => alsoAskedFor.test(predicate)),
    ...asserted.filter((predicate) => !meantToDeny.test(predicate)),
  ];
  const used = reachedFrom([...askedFor, ...meant], calls);
  const unused = [...calls.keys()].filter((predicate) => !used.has(predicate));
  const firsts = new Map(policy.rules.toReversed().map((rule) => [rule.predicate, rule]));
  return notCalled(unused, calls).map((predicate) => warnOfUnused(predicate, must(firsts.get(predicate))));
}

/** Those that no other of them asks for, and one of each circle: what only another one asks for is not worth a word of its own. */
function notCalled(unused: readonly string[], calls: Calls): string[] {
  const calledByOthers = new Set(
    unused.flatMap((predicate) => [...(calls.get(predicate) ?? [])].filter((called) => called !== predicate)),
  );
  const seen = new Set<string>();
  const uncalledFirst = unused.toSorted(
    (one, other) => Number(calledByOthers.has(one)) - Number(calledByOthers.has(other)),
  );
  const found = uncalledFirst.filter((predicate) => {
    if (seen.has(predicate)) return false;
    reachedFrom([predicate], calls, seen);
    return true;
  });
  const told = new Set(found);
  return unused.filter((predicate) => told.has(predicate));
}

function warnOfUnused(predicate: string, { span, body }: Rule): Diagnostic {
  const isDenial = meantToDeny.test(predicate);
  const what = body === undefined ? "fact" : "rule";
  return {
    code: "rule/unused",
    severity: "warning",
    span,
    message:
      `${quote(predicate)} is not used by any rule on the way from ` +
      "`allow`" +
      `, so this ${what} has no effect on authorize, list or actions`,
    hint: isDenial
      ? `only ` +
        "`not`" +
        ` takes access away: write ${quote(`allow(…) if … and not ${predicate}(…)`)}, or the same in the rules of permissions`
      : "use it in a rule, or remove it; a query that names it is still answered",
  };
}

/** By predicate, whatever its number of arguments: what its rules ask for. */
type Calls = ReadonlyMap<string, ReadonlySet<string>>;

function callsOf(rules: readonly Rule[]): Calls {
  const calls = new Map<string, Set<string>>();
  for (const { predicate, body } of rules) {
    const called = calls.get(predicate) ?? new Set();
    for (const other of callsIn(body)) called.add(other);
    calls.set(predicate, called);
  }
  return calls;
}

/** These and all that they lead to. What was `seen` is not followed again. */
function reachedFrom(roots: readonly string[], calls: Calls, seen = new Set<string>()): ReadonlySet<string> {
  const waiting = [...roots];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    waiting.push(...(calls.get(next) ?? []));
  }
  return seen;
}

function* callsIn(expression: Expression | undefined): Generator<string> {
  if (expression?.kind === "call") yield expression.predicate;
  if (expression?.kind === "not") yield* callsIn(expression.operand);
  if (expression?.kind !== "and" && expression?.kind !== "or") return;
  for (const operand of expression.operands) yield* callsIn(operand);
}

/** The first `allow` rule of a policy whose own ones never ask for a permission, although it gives some. */
export function replacedDefault(policy: Policy): Rule | undefined {
  const own = policy.rules.filter(({ predicate, implicit }) => predicate === "allow" && !implicit);
  if (own.length === 0 || reachedFrom(["allow"], callsOf(policy.rules)).has("has_permission")) return undefined;
  return policy.rules.some(({ predicate }) => predicate === "has_permission") ? own[0] : undefined;
}

export function warnOfReplacedDefault(policy: Policy): Diagnostic[] {
  const rule = replacedDefault(policy);
  const [permission] = policy.rules.filter(({ predicate }) => predicate === "has_permission");
  if (rule === undefined || permission === undefined) return [];
  return [
    {
      code: "rule/default-allow-replaced",
      severity: "warning",
      span: rule.span,
      message:
        "`allow` rules of your own replace the default one, so permissions, those of blocks included, allow nothing",
      hint: "write the default one again: `allow(actor: Actor, action: String, resource: Resource) if has_permission(actor, action, resource);`",
      related: [{ message: "this permission allows nothing", span: permission.span }],
    },
  ];
}
