/** Reads the central part of local authorization: stored facts, context facts and recursion over them. */
import { type FlatArgument, type FlatAtom, NotEnumerable } from "../../datalog/ir/flat.ts";
import { constantKey, flatArgumentKey, flatAtomKey, flatClauseKey, listKey } from "../../datalog/ir/key.ts";
import { type Constant, type ProgramTerm, splitKey } from "../../datalog/ir/program.ts";
import type { TypeName } from "../../datalog/ir/signature.ts";
import type { PredicateNode, SpecialisedBody, SpecialisedLiteral } from "../../datalog/ir/specialised.ts";
import {
  type CentralPart,
  type CentralReader,
  type ContextAtom,
  keyOf,
  type LocalVariable,
} from "../../local/clauses.ts";
import { NotExpressible } from "../../local/not-expressible.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { factTable } from "../../store/facts/fact-tables.ts";
import type { TableStatistics } from "../../store/statistics/table-statistics.ts";
import type { Fact } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { must, unreachable } from "../../util/assert.ts";
import { Evaluation, type EvaluationLimits } from "../evaluator/evaluate.ts";
import { FactReader, TooManyFacts } from "../evaluator/fact-reader.ts";
import { RequestSymbols } from "../request/request-symbols.ts";
import type { TypeIds } from "../request/type-ids.ts";

export interface CentralFactsOptions {
  readonly database: Connection;
  readonly types: TypeIds;
  readonly contextFacts: readonly Fact[];
  /** `@current_unix_time`, in seconds. */
  readonly now: number;
  /** `rowsMax` is the maximum number of central values of one condition. */
  readonly limits: EvaluationLimits;
  /** As in `EngineOptions`. */
  readonly factsAtATimeMax?: number | undefined;
  /** The values that constants of nodes stand for. */
  readonly real: (value: Constant) => Constant;
  /** The statistics of this state. */
  readonly statistics: TableStatistics;
}

/** The symbols of the values that constants stand for. */
class RealSymbols extends RequestSymbols {
  readonly #real: (value: Constant) => Constant;

  constructor({ database, types, contextFacts, real }: CentralFactsOptions) {
    super(database, types, contextFacts);
    this.#real = real;
  }

  override symbolOf(value: Constant): number {
    // The constructor of the super class reads context facts, which have no placeholders.
    return super.symbolOf(#real in this ? this.#real(value) : value);
  }
}

/** Which predicates have no facts; statistics belong to one state. */
const empty = new WeakMap<TableStatistics, Map<string, boolean>>();

export class CentralFacts implements CentralReader {
  readonly #symbols: RequestSymbols;
  readonly #reader: FactReader;
  readonly #limits: EvaluationLimits;
  readonly #options: CentralFactsOptions;
  readonly #facts = new Map<string, Constant[][] | undefined>();
  readonly #rows = new Map<string, (Constant | null)[][]>();

  constructor(options: CentralFactsOptions) {
    const { database, types, now, limits, factsAtATimeMax } = options;
    this.#options = options;
    this.#symbols = new RealSymbols(options);
    this.#reader = new FactReader(database, types, this.#symbols, now, factsAtATimeMax);
    this.#limits = limits;
  }

  /** Clauses of a question repeat calls. */
  facts(atom: ContextAtom, max: number): Constant[][] | undefined {
    const key = flatAtomKey(atom, (arg) => flatArgumentKey(arg.kind === "var" ? { ...arg, id: 0 } : arg));
    return this.#facts.getOrInsertComputed(`${max} ${key}`, () => this.#factsOf(atom, max));
  }

  #factsOf(atom: ContextAtom, max: number): Constant[][] | undefined {
    const { database, types, now } = this.#options;
    const reader = new FactReader(database, types, this.#symbols, now, max);
    const found: Constant[][] = [];
    try {
      for (const [single] of withSingleConstants([atom])) {
        const { kind, predicate, args, orFact } = must(single) as ContextAtom;
        const isStored = (kind === "fact" || orFact === true) && !this.#hasNoFacts(predicate);
        if (!isStored && kind === "fact") continue;
        const call = {
          kind: "call",
          predicate,
          args: [],
          node: undefined,
          fact: isStored,
          context: kind === "context",
        } as const;
        const symbols = args.map((arg) =>
          arg.kind === "const" ? reader.constant(arg.value) : arg.kind === "now" ? reader.now : undefined,
        );
        const argTypes = args.map((arg) => ("type" in arg ? arg.type : undefined));
        for (const row of reader.rows(call, symbols, argTypes))
          found.push(row.map((symbol) => must(this.#symbols.valueOf(must(symbol)))));
        if (found.length > max) return undefined;
      }
      return found;
    } catch (error) {
      if (error instanceof TooManyFacts) return undefined;
      throw error;
    }
  }

  /** Facts of bound predicates are mostly rows, and then no statement has to run for them. */
  #hasNoFacts(predicate: string): boolean {
    const { database, statistics } = this.#options;
    const known = empty.getOrInsertComputed(statistics, () => new Map());
    return known.getOrInsertComputed(predicate, () => {
      const table = factTable(database, ...splitKey(predicate));
      return table === undefined || statistics.rows(table) === 0;
    });
  }

  #evaluate(part: CentralPart): (Constant | null)[][] {
    const { body, asked } = bodyOf(part);
    const known = body.types.map(() => undefined);
    return Evaluation.run(this.#reader, this.#limits, body, known, asked).map((row) =>
      row.map((symbol) => (symbol === undefined ? null : must(this.#symbols.valueOf(symbol)))),
    );
  }

  rows(part: CentralPart): (Constant | null)[][] {
    const numbers = new Map<number, number>();
    const key = flatClauseKey({ ...part, head: part.outputs, negations: [] }, (arg) =>
      flatArgumentKey(
        arg.kind === "var" ? { ...arg, id: numbers.getOrInsertComputed(arg.id, () => numbers.size) } : arg,
      ),
    );
    return this.#rows.getOrInsertComputed(key, () => this.#rowsOf(part));
  }

  #rowsOf(part: CentralPart): (Constant | null)[][] {
    if (part.atoms.some((atom) => atom.kind === "fact" && this.#hasNoFacts(atom.predicate))) return [];
    const found = new Map<string, (Constant | null)[]>();
    try {
      for (const atoms of withSingleConstants(part.atoms)) {
        for (const row of this.#evaluate({ ...part, atoms })) found.set(rowKey(row), row);
        if (found.size > this.#limits.rowsMax) throw new AppError("query_too_expensive", "too many values");
      }
      return [...found.values()];
    } catch (error) {
      if (error instanceof NotEnumerable)
        throw new NotExpressible("a rule holds for values that no central fact names", { cause: error });
      // Another evaluation has higher limits.
      if (!this.#limits.isLast) throw error;
      if (error instanceof AppError && error.code === "query_too_expensive") throw tooMany(part, this.#limits, error);
      throw error;
    }
  }
}

function rowKey(row: readonly (Constant | null)[]): string {
  return listKey(row.map((value) => (value === null ? "*" : constantKey(value))));
}

/** The atoms with each combination of the constants of their `oneOf`. */
function withSingleConstants(atoms: readonly FlatAtom[]): (readonly FlatAtom[])[] {
  return atoms.reduce<(readonly FlatAtom[])[]>(
    (lists, atom) => {
      const single = atom.args.reduce<FlatArgument[][]>(
        (rows, arg) => {
          const choices: FlatArgument[] =
            arg.kind === "oneOf" ? arg.values.map((value) => ({ kind: "const", value })) : [arg];
          return rows.flatMap((row) => choices.map((choice) => [...row, choice]));
        },
        [[]],
      );
      return lists.flatMap((list) => single.map((args) => [...list, { ...atom, args } as FlatAtom]));
    },
    [[]],
  );
}

function tooMany({ atoms }: CentralPart, { rowsMax }: EvaluationLimits, cause: AppError): AppError {
  const names = new Set(atoms.map((atom) => (atom.kind === "recursive" ? atom.node.predicate : predicateOf(atom))));
  const list = [...names].map((name) => `\`${name}\``).join(" and ");
  return new AppError(
    "invalid_request",
    `the SQL would contain too many values of ${list} (at most ${rowsMax} in one condition): bind these facts to queries of your database`,
    { cause },
  );
}

function predicateOf(atom: CentralPart["atoms"][number]): string {
  return "predicate" in atom ? atom.predicate : "ids";
}

/** The part as a body for the evaluator, and the numbers of the outputs. */
function bodyOf({ atoms, conditions, outputs }: CentralPart): {
  readonly body: SpecialisedBody;
  readonly asked: readonly number[];
} {
  const types: TypeName[] = [];
  const numbers = new Map<string, number>();
  const number = (variable: LocalVariable): number =>
    numbers.getOrInsertComputed(keyOf(variable), () => types.push(variable.type) - 1);
  const term = (arg: FlatArgument): ProgramTerm => {
    switch (arg.kind) {
      case "var":
      case "param":
        return { kind: "var", index: number(arg) };
      case "const":
      case "now":
        return arg;
      default:
        throw new NotExpressible("a value that no fact has");
    }
  };
  const literals: SpecialisedLiteral[] = atoms.map((atom) => {
    switch (atom.kind) {
      case "fact":
      case "context": {
        const args = atom.args.map(term);
        return {
          ...{ kind: "call", predicate: atom.predicate, args, node: undefined },
          ...{ fact: atom.kind === "fact" || atom.orFact === true, context: atom.kind === "context" },
        };
      }
      case "recursive": {
        const args = argsOf(atom.node, atom.args.map(term));
        return { kind: "call", predicate: atom.node.predicate, args, fact: false, context: false, node: atom.node };
      }
      case "ids":
        throw new Error("broken assumption: a question about one value has no lists of ids");
      default:
        return unreachable(atom);
    }
  });
  for (const condition of conditions) {
    if (condition.kind === "type")
      literals.push({ kind: "type", term: term(condition.term), types: new Set(condition.types) });
    else literals.push({ ...condition, left: term(condition.left), right: term(condition.right) });
  }
  const asked = outputs.map(number);
  return { body: { types, literals }, asked };
}

/** All arguments of the node's predicate, given those that are open. */
function argsOf({ args }: PredicateNode, open: readonly ProgramTerm[]): ProgramTerm[] {
  let next = 0;
  return args.map((arg): ProgramTerm => (arg.kind === "const" ? arg : must(open[next++])));
}
