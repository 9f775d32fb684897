/**
 * Selects the stored facts that the policy accepts: those whose argument types a rule could match, with its head or in
 * its body, or a `declare` names. A fact of an older policy that does not fit any more is ignored.
 */
import type { Expression, Policy, Term } from "../../src/polar/policy.ts";
import type { Fact, Value } from "../../src/store/facts/fact.ts";
import { alternatives } from "./clauses.ts";
import type { Domain } from "./domain.ts";

/** Whether a value has an accepted type and, if it is a String and its id is given, an accepted id. */
type Admits = (type: string, id?: string) => boolean;

/** The types that one conjunct requires of a variable, and the strings. */
interface Constraint {
  readonly variable: string;
  readonly admits: Admits;
}

type Call = Pick<Extract<Expression, { kind: "call" }>, "predicate" | "args">;

export function acceptedFacts(policy: Policy, domain: Domain): (fact: Fact) => boolean {
  const signatures = signaturesOf(policy, domain);
  return (fact) => signatures.some((signature) => fits(fact, signature, false));
}

/** Selects the facts that may be stored: accepted ones, but a head counts only if the fact has its strings. */
export function storableFacts(policy: Policy, domain: Domain): (fact: Fact) => boolean {
  const signatures = signaturesOf(policy, domain);
  return (fact) => signatures.some((signature) => fits(fact, signature, signature.isHead));
}

interface Signature {
  readonly predicate: string;
  readonly admits: readonly Admits[];
  readonly isHead: boolean;
}

function fits(fact: Fact, { predicate, admits }: Signature, withStrings: boolean): boolean {
  return (
    predicate === fact.predicate &&
    admits.length === fact.args.length &&
    fact.args.every(({ type, id }, index) => admits[index]?.(type, withStrings ? id : undefined))
  );
}

function signaturesOf(policy: Policy, domain: Domain): Signature[] {
  const signatures: Signature[] = [];
  for (const { predicate, types } of policy.declarations) {
    signatures.push({
      predicate,
      admits: types.map((type) => (given) => domain.isSubtype(given, type)),
      isHead: false,
    });
  }
  for (const rule of policy.rules.filter((rule) => !rule.implicit)) {
    const params = rule.params.flatMap(({ term, type }) =>
      term.kind === "variable" && type !== undefined
        ? [{ variable: term.name, admits: (given: string) => domain.isSubtype(given, type) }]
        : [],
    );
    const head = { predicate: rule.predicate, args: rule.params.map(({ term }) => term) };
    for (const { call, constraints } of callsOf(head, rule.body, params, domain)) {
      signatures.push({
        predicate: call.predicate,
        admits: call.args.map((arg) => argumentType(arg, constraints)),
        isHead: call === head,
      });
    }
  }
  return signatures;
}

function argumentType(term: Term, constraints: readonly Constraint[]): Admits {
  if (term.kind === "literal") return isOneOf([term]);
  if (term.kind === "now") return (type) => type === "Integer";
  const own = constraints.filter((constraint) => constraint.variable === term.name);
  return (type, id) => own.every((constraint) => constraint.admits(type, id));
}

function isOneOf(values: readonly Value[]): Admits {
  return (type, id) =>
    values.some((value) => value.type === type && (type !== "String" || id === undefined || value.id === id));
}

/**
 * The head of a rule and every call in its body, also under `not`, with the restrictions of their variables. A condition
 * that can't be true uses no facts.
 */
function callsOf(
  head: Call | undefined,
  body: Expression | undefined,
  outer: readonly Constraint[],
  domain: Domain,
  isNegated = false,
): { call: Call; constraints: readonly Constraint[] }[] {
  return alternatives(body).flatMap((conjunction) => {
    if (conjunction.some((expression) => isAlways(expression, false))) return [];
    if (!isNegated && contradicts(conjunction)) return [];
    const constraints = shareConstraints(
      [...outer, ...conjunction.flatMap((expression) => constraintsOf(expression, domain))],
      conjunction,
    );
    if (!canHold(constraints, domain)) return [];
    const calls = conjunction.flatMap((expression) => {
      if (expression.kind === "call") return [{ call: expression, constraints }];
      return expression.kind === "not" ? callsOf(undefined, expression.operand, constraints, domain, true) : [];
    });
    return head ? [{ call: head, constraints }, ...calls] : calls;
  });
}

/** Whether the form of the expression alone makes it true or false, for all facts. */
function isAlways(expression: Expression, value: boolean): boolean {
  switch (expression.kind) {
    case "boolean":
      return expression.value === value;
    case "in":
      return !value && expression.values.length === 0;
    case "not":
      return isAlways(expression.operand, !value);
    case "and":
      return expression.operands[value ? "every" : "some"]((operand) => isAlways(operand, value));
    case "or":
      return expression.operands[value ? "some" : "every"]((operand) => isAlways(operand, value));
    default:
      return false;
  }
}

/** Whether the equations and lists leave a variable without a value. */
function contradicts(conjunction: readonly Expression[]): boolean {
  const lists = conjunction.filter((expression) => expression.kind === "in");
  const equations = conjunction.flatMap((one) => (one.kind === "equal" ? [[one.left, one.right] as const] : []));
  const choices = lists.reduce<(readonly (readonly [Term, Term])[])[]>(
    (all, { term, values }) => all.flatMap((chosen) => values.map((value) => [...chosen, [term, value] as const])),
    [equations],
  );
  return choices.every((chosen) => !agree(chosen));
}

function agree(equations: readonly (readonly [Term, Term])[]): boolean {
  const known = new Map<string, string>();
  const valueOf = (term: Term): string | undefined =>
    term.kind === "variable" ? known.get(term.name) : term.kind === "now" ? undefined : `${term.type} ${term.id}`;
  for (let grown = true; grown;) {
    grown = false;
    for (const [left, right] of equations) {
      const [one, other] = [valueOf(left), valueOf(right)];
      if (one !== undefined && other !== undefined && one !== other) return false;
      for (const [term, value] of [
        [left, other],
        [right, one],
      ] as const) {
        if (term.kind !== "variable" || value === undefined || known.has(term.name)) continue;
        known.set(term.name, value);
        grown = true;
      }
    }
  }
  return true;
}

/** Both sides of `x = y` have the same restrictions. */
function shareConstraints(constraints: readonly Constraint[], conjunction: readonly Expression[]): Constraint[] {
  const shared = [...constraints];
  const pairs = conjunction.flatMap((one) =>
    one.kind === "equal"
      ? [
          [one.left, one.right],
          [one.right, one.left],
        ]
      : [],
  );
  for (let before = -1; before < shared.length;) {
    before = shared.length;
    for (const [from, to] of pairs) {
      if (from?.kind !== "variable" || to?.kind !== "variable") continue;
      const known = new Set(shared.filter(({ variable }) => variable === to.name).map(({ admits }) => admits));
      for (const { variable, admits } of [...shared]) {
        if (variable === from.name && !known.has(admits)) shared.push({ variable: to.name, admits });
      }
    }
  }
  return shared;
}

/** A rule with a variable without a possible type is never true, so it uses no facts. */
function canHold(constraints: readonly Constraint[], domain: Domain): boolean {
  const types = [...new Set(domain.all.map((value) => value.type))];
  return [...Map.groupBy(constraints, ({ variable }) => variable).values()].every((own) =>
    types.some((type) => own.every(({ admits }) => admits(type))),
  );
}

const impossible: Constraint = { variable: "nothing at all", admits: () => false };

function constraintsOf(expression: Expression, domain: Domain): Constraint[] {
  const of = (term: Term, admits: Admits) => {
    if (term.kind === "variable") return [{ variable: term.name, admits }];
    return admits(typeOf(term) ?? "") ? [] : [impossible];
  };
  const typeOf = (term: Term) => (term.kind === "literal" ? term.type : term.kind === "now" ? "Integer" : undefined);
  const same = (term: Term, other: Term) => {
    if (other.kind === "literal") return of(term, isOneOf([other]));
    const type = typeOf(other);
    return type === undefined ? [] : of(term, (given) => given === type);
  };
  switch (expression.kind) {
    case "matches": {
      const { variable, type, exact } = expression;
      return [{ variable, admits: (given) => (exact ? given === type : domain.isSubtype(given, type)) }];
    }
    case "equal":
      return [...same(expression.left, expression.right), ...same(expression.right, expression.left)];
    case "in":
      return of(expression.term, isOneOf(expression.values));
    case "compare":
      if (expression.operator === "!=") return [];
      return [expression.left, expression.right].flatMap((term) => of(term, (given) => given === "Integer"));
    default:
      return [];
  }
}
