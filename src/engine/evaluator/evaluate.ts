/**
 * The tabled evaluator. It answers queries that do not fit into one SQL statement: recursion that is not linear, and
 * goals that unfold into too many clauses. It evaluates top down with tables (Tamaki and Sato 1986, in its simplest
 * form): the goal is evaluated again, each call at most once per pass, until no table grows. A negated call is evaluated
 * completely before others go on, which stratification allows. In an answer, `undefined` is a wildcard (every value of
 * that argument's type), and linked positions are wildcards that must be equal.
 */
import { NotEnumerable, type OpenAnswer } from "../../datalog/ir/flat.ts";
import { type ProgramRule, type ProgramTerm, termVariables } from "../../datalog/ir/program.ts";
import type {
  NodeClause,
  PredicateNode,
  SpecialisedBody,
  SpecialisedCall,
  SpecialisedLiteral,
} from "../../datalog/ir/specialised.ts";
import { unnamedPerType } from "../../store/facts/symbols.ts";
import { AppError } from "../../util/app-error.ts";
import { must, unreachable } from "../../util/assert.ts";
import type { FactReader, SymbolIds } from "./fact-reader.ts";
import { findUncovered } from "./open-answers.ts";

/** The conjunction that is being solved. */
interface EvaluationFrame {
  /** By variable. */
  readonly types: readonly (string | undefined)[];
  readonly asked: ReadonlySet<number>;
  /** The rule whose body this is; `undefined` for the question and for bodies of negations. */
  readonly rule: ProgramRule | undefined;
}

/** What a call demands of an argument: a known value, all its values, or only that one exists. */
type Demand = number | "asked" | "any";

/** Values by variable. Variables with the same root are one: they were unified before either had a value. */
interface UnifiedBindings {
  readonly values: SymbolIds;
  readonly roots: readonly number[];
  /** Where the first unnamed value or link came from, if there are any. */
  readonly open: OpenAnswer | undefined;
}

interface TabledAnswer {
  readonly row: SymbolIds;
  /** For each position, the first one that it is linked to: mostly itself. */
  readonly links: readonly number[];
  readonly open: OpenAnswer | undefined;
}

interface Table {
  readonly answers: Map<string, TabledAnswer>;
  complete: boolean;
}

export interface EvaluationLimits {
  readonly stepsMax: number;
  readonly rowsMax: number;
  /** Values in memory at a time: of facts that are iterated over, of tables and of answers. */
  readonly valuesMax: number;
  /** On the clock of `performance.now()`. */
  readonly endMs: number;
  /** Whether nobody evaluates the question again with higher limits. */
  readonly isLast: boolean;
}

export class Evaluation {
  readonly #reader: FactReader;
  readonly #limits: EvaluationLimits;
  /** The answers to the question: rows that can be listed, and open ones, with `undefined` for open values. */
  readonly #listed = new Map<string, SymbolIds>();
  readonly #open = new Map<string, TabledAnswer>();
  readonly #witnessesOnly: boolean;
  #hasTriedWitness = false;
  readonly #tables = new Map<string, Table>();
  #visited = new Set<string>();
  #grown = false;
  /** Inside an odd number of negations, an undecidable comparison counts as false, so that the negation holds. */
  #isNegated = false;
  #steps = 0;
  #rows = 0;
  #values = 0;

  /** With `witnessesOnly` it tries no values of a type except unnamed ones, to find an open answer with little work. */
  constructor(reader: FactReader, limits: EvaluationLimits, witnessesOnly = false) {
    this.#reader = reader;
    this.#limits = limits;
    this.#witnessesOnly = witnessesOnly;
  }

  /**
   * Evaluates the question. If that takes too much work, the last evaluation looks for open answers, which are the better
   * reason to refuse. Others do not, because the search can miss a wildcard that includes them.
   */
  static run(reader: FactReader, limits: EvaluationLimits, ...question: Parameters<Evaluation["run"]>): SymbolIds[] {
    const whole = new Evaluation(reader, limits);
    try {
      return whole.run(...question);
    } catch (error) {
      if (error instanceof AppError && limits.isLast && whole.#hasTriedWitness)
        new Evaluation(reader, limits, true).#probe(...question);
      throw error;
    }
  }

  /** Throws `NotEnumerable` if the work that is allowed suffices to find an open answer. */
  #probe(...question: Parameters<Evaluation["run"]>): void {
    try {
      this.run(...question);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
  }

  /**
   * The distinct values of the variables `asked`, given the values `known` (by variable). Call it once. Throws
   * `NotEnumerable` if an answer is open and no wildcard includes it.
   */
  run(body: SpecialisedBody, known: SymbolIds, asked: readonly number[]): SymbolIds[] {
    const terms = asked.map((index): ProgramTerm => ({ kind: "var", index }));
    const frame = { types: body.types, asked: new Set(asked), rule: undefined };
    this.#toFixpoint(() => {
      this.#solve(frame, body.literals, unlinked(known), (bindings) => {
        this.#answer(this.#answerOf(terms, bindings));
        return true;
      });
    });
    if (this.#open.size > 0) {
      const uncovered = findUncovered([...this.#listed.values()], [...this.#open.values()]);
      if (uncovered) throw new NotEnumerable(uncovered.open ?? unknownOrigin);
    }
    return [...this.#listed.values()];
  }

  #answer(answer: TabledAnswer): void {
    const { links, row: found } = answer;
    // A row cannot express "any value, twice the same": two wildcards mean any two values.
    const isLinked = hasLinks(links);
    const row = found.map((id) => (id === undefined || this.#reader.isUnnamed(id) ? undefined : id));
    const isOpen = isLinked || row.some((id, place) => id !== found[place]);
    const key = row.join();
    const rows = isOpen ? this.#open : this.#listed;
    if (rows.has(key)) return;
    this.#hold(row.length);
    if (isOpen) this.#open.set(key, { ...answer, row });
    else this.#listed.set(key, row);
    if (rows.size > this.#limits.rowsMax) throw tooManyAnswers(this.#limits.rowsMax);
  }

  #toFixpoint(pass: () => void): void {
    const outer = { visited: this.#visited, grown: this.#grown };
    let hasGrown = false;
    do {
      this.#visited = new Set();
      this.#grown = false;
      pass();
      hasGrown ||= this.#grown;
    } while (this.#grown);
    for (const key of this.#visited) must(this.#tables.get(key)).complete = true;
    this.#visited = outer.visited;
    // The enclosing evaluation may have read a table before it grew here.
    this.#grown = outer.grown || hasGrown;
  }

  /** Calls `found` for each solution, until `found` returns false. Returns false if it was stopped. */
  #solve(
    frame: EvaluationFrame,
    literals: readonly SpecialisedLiteral[],
    bindings: UnifiedBindings,
    found: (bindings: UnifiedBindings) => boolean,
  ): boolean {
    if (literals.length === 0) return (hasLinks(bindings.roots) && !this.#areTyped(frame, bindings)) || found(bindings);
    this.#step();
    const next = this.#choose(literals, bindings);
    const literal = must(literals[next]);
    const isTest = literal.kind !== "call" && literal.kind !== "equal";
    const untried = isTest
      ? mentioned(literal).find((variable) => valueOf(bindings, variable) === undefined)
      : undefined;
    if (untried !== undefined) return this.#tryValues(untried, frame, literals, bindings, found);
    const rest = literals.filter((_, index) => index !== next);
    const go = (more: UnifiedBindings): boolean => this.#solve(frame, rest, more, found);
    switch (literal.kind) {
      case "call":
        return this.#call(frame, literal, rest, bindings, go);
      case "not": {
        const shared = unlinked(
          bindings.values.map((_, variable) => (literal.outer.has(variable) ? valueOf(bindings, variable) : undefined)),
        );
        return literal.bodies.some((body) => this.#exists(body, shared)) || go(bindings);
      }
      case "equal": {
        const linked = { row: [undefined, undefined], links: [0, 0], open: undefined };
        const equal = this.#unify([literal.left, literal.right], linked, bindings);
        return proceed(equal && this.#areTyped(frame, equal) ? equal : undefined, go);
      }
      case "compare":
        return !this.#compare(literal, bindings) || go(bindings);
      case "type":
        return !this.#reader.hasType(this.#value(literal.term, bindings), literal.types) || go(bindings);
      default:
        return unreachable(literal);
    }
  }

  /** Also counts each row and each answer, because a single literal may have many of them. */
  #step(): void {
    if (++this.#steps > this.#limits.stepsMax) throw tooExpensive("takes more steps than allowed");
    if (this.#steps % 4096 === 0 && performance.now() > this.#limits.endMs)
      throw tooExpensive("takes longer than allowed");
  }

  #hold(values: number): void {
    const { valuesMax } = this.#limits;
    this.#values += values;
    if (this.#values > valuesMax) throw tooExpensive(`needs more than ${valuesMax} values in memory at a time`);
  }

  /** The next literal: tests with known values, then the call with the most known arguments, then other tests. */
  #choose(literals: readonly SpecialisedLiteral[], bindings: UnifiedBindings): number {
    let best = 0;
    let bestScore = Number.NEGATIVE_INFINITY;
    literals.forEach((literal, index) => {
      const score = scoreOf(literal, (term) => term.kind !== "var" || valueOf(bindings, term.index) !== undefined);
      if (score > bestScore) [best, bestScore] = [index, score];
    });
    return best;
  }

  #call(
    frame: EvaluationFrame,
    call: SpecialisedCall,
    rest: readonly SpecialisedLiteral[],
    bindings: UnifiedBindings,
    go: (bindings: UnifiedBindings) => boolean,
  ): boolean {
    const args = call.args.map((arg) => this.#value(arg, bindings));
    if (call.fact || call.context) {
      const types = call.args.map((arg) => (arg.kind === "var" ? frame.types[arg.index] : undefined));
      const links = identity(args.length);
      const rows = this.#reader.rows(call, args, types);
      // The rows stay in memory while the rest of the conjunction is solved for each of them.
      this.#hold(rows.length * args.length);
      const isDone = rows.every((row) => {
        this.#step();
        return proceed(this.#unify(call.args, { row, links, open: undefined }, bindings), go);
      });
      this.#values -= rows.length * args.length;
      if (!isDone) return false;
    }
    const { node } = call;
    if (!node) return true;
    const open = call.args.filter((_, position) => node.args[position]?.kind === "open");
    const demand = open.map(
      (arg): Demand =>
        this.#value(arg, bindings) ?? (isOfNoInterest(arg, open, rest, frame, bindings) ? "any" : "asked"),
    );
    for (const answer of this.#answers(node, demand)) {
      this.#step();
      if (!proceed(this.#unify(open, answer, bindings), go)) return false;
    }
    return true;
  }

  #answers(node: PredicateNode, demand: readonly Demand[]): TabledAnswer[] {
    const hasUnnamed = demand.some((wanted) => typeof wanted === "number" && this.#reader.isUnnamed(wanted));
    const key = `${node.id}:${demand.join()}${hasUnnamed && this.#isNegated ? ":not" : ""}`;
    let table = this.#tables.get(key);
    if (!table) this.#tables.set(key, (table = { answers: new Map(), complete: false }));
    if (table.complete || this.#visited.has(key)) return [...table.answers.values()];
    this.#visited.add(key);
    for (const clause of node.clauses) this.#clause(clause, demand, table);
    return [...table.answers.values()];
  }

  #clause({ head, body, rule }: NodeClause, demand: readonly Demand[], table: Table): void {
    const asked = new Set(head.filter((_, position) => demand[position] === "asked").flatMap(termVariables));
    const isYesOrNo = !demand.includes("asked");
    const given = demand.map((wanted) => (typeof wanted === "number" ? wanted : undefined));
    const unbound = unlinked(new Array<undefined>(body.types.length).fill(undefined));
    const start = this.#unify(head, { row: given, links: identity(head.length), open: undefined }, unbound);
    if (!start) return;
    this.#solve({ types: body.types, asked, rule }, body.literals, start, (bindings) => {
      const answer = this.#answerOf(head, bindings, demand, rule);
      const key = `${answer.row.join()} ${answer.links.join()}`;
      if (table.answers.has(key)) return !isYesOrNo;
      table.answers.set(key, answer);
      this.#grown = true;
      if (++this.#rows > this.#limits.rowsMax) throw tooExpensive("needs more rows than allowed");
      this.#hold(answer.row.length);
      return !isYesOrNo;
    });
  }

  /** The values of `terms`; a position that is not asked for only says that a value exists. */
  #answerOf(
    terms: readonly ProgramTerm[],
    bindings: UnifiedBindings,
    demand: readonly Demand[] = [],
    rule?: ProgramRule,
  ): TabledAnswer {
    const seen = new Map<number, number>();
    const row = terms.map((term, place) => (demand[place] === "any" ? undefined : this.#value(term, bindings)));
    const links = terms.map((term, place) => {
      if (term.kind !== "var" || row[place] !== undefined || demand[place] === "any") return place;
      const root = must(bindings.roots[term.index]);
      if (!seen.has(root)) seen.set(root, place);
      return must(seen.get(root));
    });
    const linked = links.findIndex((link, place) => link !== place);
    const equal =
      linked < 0 || !rule ? undefined : { rule, type: typeOf(must(terms[linked]), rule), reason: "equal" as const };
    return { row, links, open: bindings.open ?? equal };
  }

  /** Gives variables the values of an answer, and links those at linked positions; `undefined` if they do not unify. */
  #unify(
    terms: readonly ProgramTerm[],
    { row, links, open }: TabledAnswer,
    bindings: UnifiedBindings,
  ): UnifiedBindings | undefined {
    const values = [...bindings.values];
    let roots = bindings.roots;
    const now = (term: ProgramTerm): number | undefined => this.#value(term, { values, roots, open });
    const set = (term: ProgramTerm, value: number): boolean => {
      const known = now(term);
      if (known === undefined && term.kind === "var") values[must(roots[term.index])] = value;
      return known === undefined || known === value;
    };
    for (const [place, term] of terms.entries()) {
      const value = row[place];
      if (value !== undefined && !set(term, value)) return undefined;
    }
    for (const [place, link] of links.entries()) {
      const [term, other] = [must(terms[place]), must(terms[link])];
      if (link === place) continue;
      const value = now(other) ?? now(term);
      if (value !== undefined) {
        if (!set(term, value) || !set(other, value)) return undefined;
      } else if (term.kind === "var" && other.kind === "var") {
        const [from, to] = [must(roots[term.index]), must(roots[other.index])];
        roots = roots.map((root) => (root === from ? to : root));
      }
    }
    return { values, roots, open: bindings.open ?? open };
  }

  #exists(body: SpecialisedBody, bindings: UnifiedBindings): boolean {
    let holds = false;
    this.#isNegated = !this.#isNegated;
    this.#toFixpoint(() => {
      this.#solve({ types: body.types, asked: new Set(), rule: undefined }, body.literals, bindings, () => {
        holds = true;
        return false;
      });
      // One solution is enough, so no further pass is needed.
      if (holds) this.#grown = false;
    });
    this.#isNegated = !this.#isNegated;
    // The interrupted pass has visited tables that may lack answers.
    if (holds) for (const table of this.#tables.values()) table.complete = false;
    return holds;
  }

  /**
   * Continues with each value of the type, and with as many unnamed values as the clause could tell apart: rules treat
   * all values alike that neither policy nor facts nor question name.
   */
  #tryValues(
    variable: number,
    frame: EvaluationFrame,
    literals: readonly SpecialisedLiteral[],
    bindings: UnifiedBindings,
    found: (bindings: UnifiedBindings) => boolean,
  ): boolean {
    const type = typesOf(variable, frame, bindings)[0];
    const alike = frame.types.filter((other) => other === undefined || type === undefined || other === type).length;
    for (const id of this.#reader.valuesOf(type, Math.min(alike, unnamedPerType))) {
      const isUnnamed = this.#reader.isUnnamed(id);
      if (this.#witnessesOnly && !isUnnamed) break;
      this.#hasTriedWitness = true;
      const open: OpenAnswer | undefined = isUnnamed ? { rule: frame.rule, type, reason: "restricted" } : undefined;
      const bound = must(this.#unify([{ kind: "var", index: variable }], { row: [id], links: [0], open }, bindings));
      if (!this.#solve(frame, literals, bound, found)) return false;
    }
    return true;
  }

  /** Whether variables have values of their types after unification. Values from calls always have the right types. */
  #areTyped(frame: EvaluationFrame, bindings: UnifiedBindings): boolean {
    return frame.types.every((type, variable) => {
      if (type === undefined) return true;
      const value = valueOf(bindings, variable);
      if (value !== undefined) return this.#reader.hasType(value, new Set([type]));
      return typesOf(variable, frame, bindings).every((other) => other === type);
    });
  }

  #compare(literal: Extract<SpecialisedLiteral, { kind: "compare" }>, bindings: UnifiedBindings): boolean {
    const left = this.#value(literal.left, bindings);
    const right = this.#value(literal.right, bindings);
    if (literal.operator === "!=") return left === undefined || right === undefined || left !== right;
    // Some unnamed integers are smaller and some are not. Only a question can leave an integer open: the comparison lets
    // it pass to the answers, where it cannot be listed.
    if ([left, right].some((id) => id !== undefined && this.#reader.isUnnamed(id))) return !this.#isNegated;
    const first = this.#reader.integer(left);
    const second = this.#reader.integer(right);
    if (first === undefined || second === undefined) return false;
    switch (literal.operator) {
      case "<":
        return first < second;
      case "<=":
        return first <= second;
      case ">":
        return first > second;
      case ">=":
        return first >= second;
      default:
        return unreachable(literal.operator);
    }
  }

  #value(term: ProgramTerm, bindings: UnifiedBindings): number | undefined {
    switch (term.kind) {
      case "var":
        return valueOf(bindings, term.index);
      case "const":
        return this.#reader.constant(term.value);
      case "now":
        return this.#reader.now;
      default:
        return unreachable(term);
    }
  }
}

export function tooManyAnswers(rowsMax: number): AppError {
  return tooExpensive(`has more than ${rowsMax} answers`);
}

function tooExpensive(problem: string): AppError {
  return new AppError("query_too_expensive", `the question ${problem}: ask for less, or for one value`);
}

function valueOf({ values, roots }: UnifiedBindings, variable: number): number | undefined {
  return values[roots[variable] ?? variable];
}

function unlinked(values: SymbolIds): UnifiedBindings {
  return { values, roots: identity(values.length), open: undefined };
}

const unknownOrigin: OpenAnswer = { rule: undefined, type: undefined, reason: "restricted" };

/** The only type that a term of the rule's head may have, if it is only one. */
function typeOf(term: ProgramTerm, { types }: ProgramRule): string | undefined {
  const [type, ...others] = (term.kind === "var" ? types[term.index] : undefined) ?? [];
  return others.length === 0 ? type : undefined;
}

function identity(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}

/** Whether an entry is not its own index. */
function hasLinks(links: readonly number[]): boolean {
  return links.some((link, index) => link !== index);
}

/** Continues if the terms unified; true means that the search goes on. */
function proceed(bindings: UnifiedBindings | undefined, go: (bindings: UnifiedBindings) => boolean): boolean {
  return bindings === undefined || go(bindings);
}

/** The types of all variables that are unified with this one. */
function typesOf(variable: number, frame: EvaluationFrame, { roots }: UnifiedBindings): string[] {
  return frame.types.flatMap((type, other) => (type !== undefined && roots[other] === roots[variable] ? [type] : []));
}

function isAsked(variable: number, frame: EvaluationFrame, { roots }: UnifiedBindings): boolean {
  return [...frame.asked].some((other) => roots[other] === roots[variable]);
}

function scoreOf(literal: SpecialisedLiteral, isKnown: (term: ProgramTerm) => boolean): number {
  if (literal.kind === "not") return -1000;
  if (literal.kind === "call") {
    const known = literal.args.filter(isKnown).length;
    const free = literal.args.length - known;
    return free === 0 ? 50 : known * 4 - free - (literal.node?.recursive ? 2 : 0);
  }
  const terms = literal.kind === "type" ? [literal.term] : [literal.left, literal.right];
  const unknown = terms.filter((term) => !isKnown(term)).length;
  if (unknown === 0) return 100;
  return literal.kind === "equal" ? 90 : -500;
}

/** Whether nothing else mentions the variable, so that it only matters that a value exists. */
function isOfNoInterest(
  arg: ProgramTerm,
  args: readonly ProgramTerm[],
  rest: readonly SpecialisedLiteral[],
  frame: EvaluationFrame,
  bindings: UnifiedBindings,
): boolean {
  if (arg.kind !== "var" || isAsked(arg.index, frame, bindings)) return false;
  const isSame = (index: number): boolean => bindings.roots[index] === bindings.roots[arg.index];
  const mentions = args.filter((other) => other.kind === "var" && isSame(other.index)).length;
  return mentions === 1 && !rest.some((literal) => mentioned(literal).some(isSame));
}

function mentioned(literal: SpecialisedLiteral): number[] {
  switch (literal.kind) {
    case "call":
      return literal.args.flatMap(termVariables);
    case "not":
      return [...literal.outer];
    case "equal":
    case "compare":
      return [...termVariables(literal.left), ...termVariables(literal.right)];
    case "type":
      return termVariables(literal.term);
    default:
      return unreachable(literal);
  }
}
