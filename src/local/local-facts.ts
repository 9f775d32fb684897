/**
 * Which calls rows of the application's database may answer. For the passes of `datalog` these rows are context facts
 * that only the database knows, so a bound signature is a fact type of the context.
 */
import type { FactType } from "../datalog/analysis/fact-types.ts";
import type { FlatArgument } from "../datalog/ir/flat.ts";
import type { Constant, ProgramTerm } from "../datalog/ir/program.ts";
import { termType, type TypeName } from "../datalog/ir/signature.ts";
import type { PredicateNode, SpecialisedBody } from "../datalog/ir/specialised.ts";
import type { Binding, DataBindings } from "./bindings.ts";

/** The fact types of the bindings, for `SpecialiseOptions.context`. */
export function localFactTypes({ bindings }: DataBindings): FactType[] {
  return bindings.map(({ predicate, types }) => ({ predicate, types }));
}

/** No fact has an id with U+0000. A question may, so nobody can know the rest. */
const placeholderPrefix = `\0${crypto.randomUUID()}-`;

/** Stands for the value of a question that has the number, in rules that are compiled for all questions of a shape. */
export function placeholder(type: string, number: number): Constant {
  return { type, id: `${placeholderPrefix}${number}` };
}

export function isPlaceholder({ id }: Constant): boolean {
  return id.startsWith(placeholderPrefix);
}

export function placeholderNumber({ id }: Constant): number {
  return Number(id.slice(placeholderPrefix.length));
}

/** The bindings with rows that may have these arguments. */
export function bindingsFor(bindings: readonly Binding[], predicate: string, args: readonly FlatArgument[]): Binding[] {
  return bindings.filter(
    (binding) =>
      binding.predicate === predicate &&
      args.every((arg, position) => {
        const fixed = binding.signature.args[position];
        const type = binding.types[position];
        const fits = (value: Constant): boolean =>
          value.type === type && ((fixed?.id ?? value.id) === value.id || isPlaceholder(value));
        if (arg.kind === "oneOf") return arg.values.some(fits);
        if (arg.kind === "const") return fits(arg.value);
        const known = arg.kind === "now" ? "Integer" : arg.type;
        return known === undefined || known === type;
      }),
  );
}

/** Whether one of the fact types may have these arguments. */
export function mayBeContext(context: readonly FactType[], predicate: string, args: readonly FlatArgument[]): boolean {
  return context.some(
    (fact) =>
      fact.predicate === predicate &&
      args.every((arg, position) => {
        const type = fact.types[position];
        if (arg.kind === "oneOf") return arg.values.some((value) => value.type === type);
        const known = arg.kind === "const" ? arg.value.type : arg.kind === "now" ? "Integer" : arg.type;
        return known === undefined || type === undefined || known === type;
      }),
  );
}

/** Finds the nodes whose answers depend on rows, also through negations. */
export class LocalNodes {
  readonly #bindings: readonly Binding[];
  readonly #known = new Map<PredicateNode, boolean>();

  constructor(bindings: readonly Binding[]) {
    this.#bindings = bindings;
  }

  has(node: PredicateNode): boolean {
    return this.#known.getOrInsertComputed(node, () => {
      const reached = new Set([node]);
      // The set grows while it is iterated.
      for (const next of reached) {
        for (const { body } of next.clauses) if (this.#readsRows(body, reached)) return true;
      }
      return false;
    });
  }

  /** Adds the nodes that the body calls to `reached`. */
  #readsRows({ literals, types }: SpecialisedBody, reached: Set<PredicateNode>): boolean {
    return literals.some((literal) => {
      if (literal.kind === "not") return literal.bodies.some((body) => this.#readsRows(body, reached));
      if (literal.kind !== "call") return false;
      if (literal.node) reached.add(literal.node);
      const args = literal.args.map((arg) => asFlat(arg, types));
      return literal.context && bindingsFor(this.#bindings, literal.predicate, args).length > 0;
    });
  }
}

function asFlat(term: ProgramTerm, types: readonly TypeName[]): FlatArgument {
  if (term.kind === "const") return term;
  if (term.kind === "now") return term;
  return { kind: "var", id: term.index, type: types[term.index] ?? termType(term) };
}
