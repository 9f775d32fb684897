/**
 * The tabled evaluator: answers what does not fit into one SQL statement (recursion that is not linear, goals that unfold into too many
 * clauses). Top down with tables (Tamaki and Sato 1986, in its simplest form): the goal is evaluated again and again, each call at most once a
 * pass, until no table grows; facts are read with one indexed probe. A negated call is evaluated to its own end first, which stratification
 * allows. An answer's `undefined` is a wildcard: every value of that argument's type.
 */
import type { ProgramTerm } from "../datalog/program.ts";
import { termVariables } from "../datalog/program.ts";
import type { Body, Literal, Node } from "../datalog/specialise.ts";
import { NotEnumerable } from "../datalog/flat.ts";
import { AppError } from "../util/app-error.ts";
import { must, unreachable } from "../util/assert.ts";
import type { FactReader, Ids } from "./fact-reader.ts";

/** The conjunction that is being solved: types by variable, and the variables whose values are the answer. */
interface Frame {
  readonly types: readonly (string | undefined)[];
  readonly asked: ReadonlySet<number>;
}

/** What a call says of an argument: its value, that its values are asked for, or that any will do. */
type Demand = number | "asked" | "any";

type Call = Extract<Literal, { kind: "call" }>;

interface Table {
  readonly answers: Map<string, Ids>;
  complete: boolean;
}

export interface EvaluationLimits {
  readonly stepsMax: number;
  readonly rowsMax: number;
  /** On the clock of `performance.now()`. */
  readonly endMs: number;
}

export class Evaluation {
  readonly #reader: FactReader;
  readonly #limits: EvaluationLimits;
  readonly #tables = new Map<string, Table>();
  #visited = new Set<string>();
  #grown = false;
  #steps = 0;
  #rows = 0;

  constructor(reader: FactReader, limits: EvaluationLimits) {
    this.#reader = reader;
    this.#limits = limits;
  }

  /** Distinct values of the variables `asked`, given those of `known` (by variable). */
  run(body: Body, known: Ids, asked: readonly number[]): Ids[] {
    const rows = new Map<string, Ids>();
    this.#toFixpoint(() => {
      this.#solve({ types: body.types, asked: new Set(asked) }, body.literals, [...known], (values) => {
        refuseRepeatedWildcard(
          asked.map((variable) => ({ kind: "var", index: variable })),
          values,
        );
        const row = asked.map((variable) => values[variable]);
        rows.set(row.join(), row);
        return true;
      });
    });
    return [...rows.values()];
  }

  #toFixpoint(pass: () => void): void {
    const outer = { visited: this.#visited, grown: this.#grown };
    do {
      this.#visited = new Set();
      this.#grown = false;
      pass();
    } while (this.#grown);
    for (const key of this.#visited) must(this.#tables.get(key)).complete = true;
    this.#visited = outer.visited;
    this.#grown = outer.grown;
  }

  /** Calls `found` for each way to make the literals true; it returns false to stop. Returns false where it was stopped. */
  #solve(frame: Frame, literals: readonly Literal[], values: Ids, found: (values: Ids) => boolean): boolean {
    if (literals.length === 0) return found(values);
    this.#step();
    const next = this.#choose(literals, values);
    const literal = must(literals[next]);
    const rest = literals.filter((_, index) => index !== next);
    switch (literal.kind) {
      case "call":
        return this.#call(frame, literal, rest, values, (bound) => this.#solve(frame, rest, bound, found));
      case "not": {
        const witnessed = this.#withWitnesses(literal, values, frame);
        return literal.bodies.some((body) => this.#exists(body, witnessed)) || this.#solve(frame, rest, values, found);
      }
      case "equal":
        return this.#equal(literal, values, (bound) => this.#solve(frame, rest, bound, found));
      case "compare":
        return !this.#compare(literal, values, frame) || this.#solve(frame, rest, values, found);
      case "type": {
        const value = this.#known(literal.term, values, frame);
        return !this.#reader.hasType(value, literal.types) || this.#solve(frame, rest, values, found);
      }
      default:
        return unreachable(literal);
    }
  }

  #step(): void {
    if (++this.#steps > this.#limits.stepsMax)
      throw new AppError("query_too_expensive", "the question takes more steps than allowed");
    if (this.#steps % 4096 === 0 && performance.now() > this.#limits.endMs) {
      throw new AppError("query_too_expensive", "the question takes longer than allowed");
    }
  }

  /** Tests that are ready first, then the call of which most is known; negations and comparisons last. */
  #choose(literals: readonly Literal[], values: Ids): number {
    let best = 0;
    let bestScore = Number.NEGATIVE_INFINITY;
    literals.forEach((literal, index) => {
      const score = scoreOf(literal, values);
      if (score > bestScore) [best, bestScore] = [index, score];
    });
    return best;
  }

  #call(frame: Frame, call: Call, rest: readonly Literal[], values: Ids, next: (values: Ids) => boolean): boolean {
    const args = call.args.map((arg) => this.#value(arg, values));
    if (call.fact || call.context) {
      const types = call.args.map((arg) => (arg.kind === "var" ? frame.types[arg.index] : undefined));
      for (const row of this.#reader.rows(call, args, types))
        if (!this.#unify(call.args, row, values, next)) return false;
    }
    const { node } = call;
    if (!node) return true;
    const open = call.args.filter((_, position) => node.args[position]?.kind === "open");
    const demand = open.map((arg): Demand => {
      const value = this.#value(arg, values);
      return value ?? (isOfNoInterest(arg, open, rest, frame) ? "any" : "asked");
    });
    for (const answer of this.#answers(node, demand)) if (!this.#unify(open, answer, values, next)) return false;
    return true;
  }

  #answers(node: Node, demand: readonly Demand[]): Ids[] {
    const key = `${node.id}:${demand.join()}`;
    let table = this.#tables.get(key);
    if (!table) this.#tables.set(key, (table = { answers: new Map(), complete: false }));
    if (table.complete || this.#visited.has(key)) return [...table.answers.values()];
    this.#visited.add(key);
    for (const clause of node.clauses) this.#clause(clause.head, clause.body, demand, table);
    return [...table.answers.values()];
  }

  #clause(head: readonly ProgramTerm[], body: Body, demand: readonly Demand[], table: Table): void {
    const askedHead = head.filter((_, position) => demand[position] === "asked");
    const asked = new Set(askedHead.flatMap(termVariables));
    const given = demand.map((wanted) => (typeof wanted === "number" ? wanted : undefined));
    this.#unify(head, given, new Array(body.types.length).fill(undefined), (start) =>
      this.#solve({ types: body.types, asked }, body.literals, start, (values) => {
        refuseRepeatedWildcard(askedHead, values);
        const answer = head.map((term, position) => {
          const wanted = must(demand[position]);
          if (typeof wanted === "number") return wanted;
          return wanted === "any" ? undefined : this.#value(term, values);
        });
        const key = answer.join();
        if (table.answers.has(key)) return true;
        table.answers.set(key, answer);
        this.#grown = true;
        if (++this.#rows > this.#limits.rowsMax)
          throw new AppError("query_too_expensive", "the question needs more rows than allowed");
        return true;
      }),
    );
  }

  /** Binds variables among `terms` to `row`; an undefined element of the row leaves its term as it is. */
  #unify(terms: readonly ProgramTerm[], row: Ids, values: Ids, next: (values: Ids) => boolean): boolean {
    const bound = [...values];
    for (const [position, term] of terms.entries()) {
      const value = row[position];
      if (value === undefined) continue;
      const present = this.#value(term, bound);
      if (present === undefined && term.kind === "var") bound[term.index] = value;
      else if (present !== value) return true;
    }
    return next(bound);
  }

  #equal(literal: Extract<Literal, { kind: "equal" }>, values: Ids, next: (values: Ids) => boolean): boolean {
    const right = this.#value(literal.right, values);
    // Whichever side is known binds the other.
    if (right !== undefined) return this.#unify([literal.left], [right], values, next);
    return this.#unify([literal.right], [this.#value(literal.left, values)], values, next);
  }

  #exists(body: Body, values: Ids): boolean {
    let holds = false;
    this.#toFixpoint(() => {
      this.#solve({ types: body.types, asked: new Set() }, body.literals, [...values], () => {
        holds = true;
        return false;
      });
      if (holds) this.#grown = false;
    });
    if (holds) this.#forgetIncomplete();
    return holds;
  }

  /** A pass that was cut short has visited tables that may lack answers. */
  #forgetIncomplete(): void {
    for (const table of this.#tables.values()) table.complete = false;
  }

  /** A variable that nothing binds stands for every value; where it is not asked for, a value that no fact holds is the best witness. */
  #withWitnesses(literal: Extract<Literal, { kind: "not" }>, values: Ids, { asked }: Frame): Ids {
    const witnessed = values.map((value, variable) => (literal.outer.has(variable) ? value : undefined));
    for (const variable of literal.outer) {
      if (witnessed[variable] !== undefined) continue;
      if (asked.has(variable)) throw new NotEnumerable();
      witnessed[variable] = this.#reader.freshId(typeOfVariable(literal, variable));
    }
    return witnessed;
  }

  #known(term: ProgramTerm, values: Ids, { asked }: Frame): number | undefined {
    const value = this.#value(term, values);
    if (value === undefined && term.kind === "var" && asked.has(term.index)) throw new NotEnumerable();
    return value;
  }

  #compare(literal: Extract<Literal, { kind: "compare" }>, values: Ids, frame: Frame): boolean {
    const left = this.#known(literal.left, values, frame);
    const right = this.#known(literal.right, values, frame);
    if (literal.operator === "!=") return left === undefined || right === undefined || left !== right;
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

  #value(term: ProgramTerm, values: Ids): number | undefined {
    switch (term.kind) {
      case "var":
        return values[term.index];
      case "const":
        return this.#reader.constant(term.value);
      case "now":
        return this.#reader.now;
      default:
        return unreachable(term);
    }
  }
}

function scoreOf(literal: Literal, values: Ids): number {
  if (literal.kind === "not") return -1000;
  if (literal.kind === "call") {
    const known = literal.args.filter((arg) => arg.kind !== "var" || values[arg.index] !== undefined).length;
    const free = literal.args.length - known;
    return free === 0 ? 50 : known * 4 - free - (literal.node?.recursive ? 2 : 0);
  }
  const terms = literal.kind === "type" ? [literal.term] : [literal.left, literal.right];
  const unknown = terms.filter((term) => term.kind === "var" && values[term.index] === undefined).length;
  if (unknown === 0) return 100;
  return literal.kind === "equal" && unknown === 1 ? 90 : -500;
}

/** A variable that neither the question nor the rest of the clause mentions: whether there is a value matters, not which. */
function isOfNoInterest(
  arg: ProgramTerm,
  args: readonly ProgramTerm[],
  rest: readonly Literal[],
  frame: Frame,
): boolean {
  if (arg.kind !== "var" || frame.asked.has(arg.index)) return false;
  const mentions = args.filter((other) => other.kind === "var" && other.index === arg.index).length;
  return mentions === 1 && !rest.some((literal) => mentioned(literal).includes(arg.index));
}

function mentioned(literal: Literal): number[] {
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

function typeOfVariable(literal: Extract<Literal, { kind: "not" }>, variable: number): string | undefined {
  return literal.bodies.map((body) => body.types[variable]).find((type) => type !== undefined);
}

/** "Any value, but twice the same" has no form as an answer: two wildcards would say that any two values will do. */
function refuseRepeatedWildcard(head: readonly ProgramTerm[], values: Ids): void {
  const open = head.flatMap((term) => (term.kind === "var" && values[term.index] === undefined ? [term.index] : []));
  if (new Set(open).size < open.length) throw new NotEnumerable();
}
