/**
 * Open answers: values that a list asks for and that no source enumerates, although a negation or a comparison restricts
 * them, or although two of them must be equal. A clause with such values gets witnesses for them: values that occur in no
 * fact. If it has an answer with its witnesses, then its answers can't be listed, unless a wildcard includes them. If it
 * has none, it has no other answers either.
 */
import { clauseVariables, type FlatClause, type FlatTerm, mapClauseTerms } from "../ir/flat.ts";
import { conditionTerms, literalVariables, mapCondition, termVariables } from "../ir/program.ts";
import type { JoinSource, OpenSelect } from "../ir/select.ts";
import { boundBy, isKnown } from "./join-order.ts";

type Variable = Extract<FlatTerm, { kind: "var" }>;

/**
 * The clause with witnesses for open values of its head; `sources` bind the others.
 *
 * A value that occurs in no fact is the best witness against a negation. Two forms are exceptions: a negation inside of
 * the negation, and recursion. These negations are left out, so that the clause is only a necessary condition
 * (`isExact`). So are comparisons of order, because a witness has no order.
 */
export function withWitnesses(
  clause: FlatClause,
  sources: readonly JoinSource[],
): { readonly clause: FlatClause; readonly open?: OpenSelect } {
  const bound = boundBy(sources);
  const free = clause.head.filter((term): term is Variable => term.kind === "var" && !isKnown(term, bound));
  if (free.length === 0) return { clause };
  const used = clauseVariables({ ...clause, head: [], atoms: [] });
  const isRepeated = ({ id }: Variable): boolean => free.filter((other) => other.id === id).length > 1;
  const repeated = free.find(isRepeated);
  const shown = repeated ?? free.find(({ id }) => used.has(id));
  if (!shown) return { clause };
  const open = new Set(free.filter((term) => used.has(term.id) || isRepeated(term)).map(({ id }) => id));
  const witness = (term: FlatTerm): FlatTerm =>
    term.kind === "var" && open.has(term.id) ? { kind: "fresh", type: term.type } : term;
  const isOpen = (term: FlatTerm): boolean => term.kind === "var" && open.has(term.id);
  let isExact = true;
  const conditions = clause.conditions.flatMap((condition) => {
    if (!conditionTerms(condition).some(isOpen)) return [condition];
    if (condition.kind === "compare" && condition.operator !== "!=") return [];
    const replaced = mapCondition(condition, witness);
    if (!conditionTerms(replaced).every(isWitness)) return [replaced];
    isExact = false;
    return [];
  });
  const negations = clause.negations.map((bodies) =>
    bodies.flatMap((body) => {
      if (clauseVariables(body).isDisjointFrom(open)) return [body];
      if (isBestWitness(body, open, witness)) return [mapClauseTerms(body, witness)];
      isExact = false;
      return [];
    }),
  );
  const reason = repeated ? "equal" : "restricted";
  return {
    clause: { ...clause, head: clause.head.map(witness), conditions, negations },
    open: { rule: ruleOf(clause, shown, reason), type: shown.type, reason, isExact },
  };
}

/** Whether the body is false for witnesses if it is false for any values. */
function isBestWitness(
  { atoms, conditions, negations }: FlatClause,
  open: ReadonlySet<number>,
  witness: (term: FlatTerm) => FlatTerm,
): boolean {
  const mentions = (terms: readonly { readonly kind: string; readonly id?: number }[]): boolean =>
    terms.some((term) => term.kind === "var" && open.has(term.id ?? -1));
  return (
    !atoms.some((atom) => atom.kind === "recursive" && mentions(atom.args)) &&
    !negations.flat().some((inner) => !clauseVariables(inner).isDisjointFrom(open)) &&
    !conditions.some((condition) => {
      const terms = conditionTerms(condition);
      if (!mentions(terms)) return false;
      const isUnequal = condition.kind === "compare" && condition.operator === "!=";
      return isUnequal || (condition.kind !== "type" && terms.map(witness).every(isWitness));
    })
  );
}

function isWitness({ kind }: FlatTerm): boolean {
  return kind === "fresh";
}

/** The rule that restricts the variable outside of its calls, or that makes it equal to another one. */
function ruleOf({ origins = [] }: FlatClause, { id }: Variable, reason: OpenSelect["reason"]): OpenSelect["rule"] {
  const found = origins.findLast(({ rule, terms }) => {
    const isIt = (variable: number): boolean => {
      const term = terms[variable];
      return term?.kind === "var" && term.id === id;
    };
    if (reason === "equal") return rule.head.flatMap(termVariables).filter(isIt).length > 1;
    return rule.body.some((literal) => literal.kind !== "call" && literalVariables(literal).some(isIt));
  });
  return found?.rule;
}
