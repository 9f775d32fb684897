/**
 * The answers of the engine to single calls, which explanations are built from: all rows that satisfy a call, and
 * whether an atom is a fact. Each call is asked only once. The number of questions is bounded, because an explanation
 * is worth only limited work.
 */
import type { ArgumentPattern } from "../../datalog/ir/argument-index.ts";
import { listKey, numberKey, stringKey, typeListKey, typeSetKey } from "../../datalog/ir/key.ts";
import { splitKey } from "../../datalog/ir/program.ts";
import { isTypeVariable, type Signatures, type TypeName } from "../../datalog/ir/signature.ts";
import type { Fact, Value } from "../../store/facts/fact.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import type { Engine } from "../engine.ts";
import { TooManyFacts } from "../evaluator/fact-reader.ts";
import type { ActivePolicy } from "../../policy/active-policy.ts";
import type { ReadFactTypes } from "../../policy/head-facts.ts";
import { factKey, valueKey } from "../../policy/keys.ts";
import { anyId, type GroundAtom, type OpenAtom } from "./atom.ts";
import type { FactOrigin } from "./explanation.ts";

/** Thrown if an explanation needs more work than allowed. */
export class WorkLimitReached extends Error {
  readonly reason: "steps" | "time" | "facts";
  /** One call took too much work; others may still succeed. */
  readonly isOfOneCall: boolean;

  constructor(reason: WorkLimitReached["reason"], isOfOneCall = false) {
    super(`too many ${reason}`);
    this.reason = reason;
    this.isOfOneCall = isOfOneCall;
  }
}

export type CallArgument =
  | { readonly kind: "value"; readonly value: Value }
  | { readonly kind: "variable"; readonly index: number; readonly types: ReadonlySet<string> | undefined };

/** For each answer, the values of the arguments. */
type Rows = readonly (readonly Value[])[];

type StoredOrContext = Exclude<FactOrigin, "policy">;

export interface CallAnswersOptions {
  /** Seconds since 1970. */
  readonly now: number;
  readonly stepsMax: number;
  /** On the clock of `performance.now()`. */
  readonly endMs: number;
  /** Types of values in the question or the data that the policy may not name. */
  readonly types?: Iterable<string>;
  readonly contextFacts?: readonly Fact[];
  /** The engine for calls without open arguments, if it is another one. */
  readonly closedEngine?: Engine;
  /** The argument types with which each predicate can hold, including context facts; by default without these. */
  readonly signatures?: Signatures;
}

export class CallAnswers {
  readonly now: Value;
  readonly active: ActivePolicy;
  readonly #engine: Engine;
  readonly #options: CallAnswersOptions;
  readonly #readTypes: Pick<ReadFactTypes, "factTypes" | "signatures">;
  readonly #types: readonly string[];
  readonly #answers = new Map<string, Rows | WorkLimitReached>();
  readonly #facts = new Map<string, StoredOrContext | undefined>();
  readonly #contextFacts: ReadonlySet<string>;
  #stepsLeft: number;

  /** The engine answers from the facts in question under the policy `active`. */
  constructor(engine: Engine, active: ActivePolicy, options: CallAnswersOptions) {
    this.now = { type: "Integer", id: String(options.now) };
    this.active = active;
    this.#engine = engine;
    this.#options = options;
    this.#readTypes = engine.factTypes() ?? active;
    this.#types = [...new Set(["String", "Integer", "Boolean", ...active.types, ...(options.types ?? [])])];
    this.#stepsLeft = options.stepsMax;
    this.#contextFacts = new Set(options.contextFacts?.map(factKey));
  }

  /**
   * The arguments for which the call holds; the id `anyId` stands for every value of the type. Throws
   * `WorkLimitReached`.
   */
  rows(predicate: string, args: readonly CallArgument[]): Rows {
    const key = stringKey(predicate) + listKey(args.map(argumentKey));
    const known = this.#answers.get(key);
    if (known instanceof WorkLimitReached) throw known;
    if (known) return known;
    try {
      const rows = this.#typings(predicate, args).flatMap((types) => this.#ask(predicate, args, types));
      this.#answers.set(key, rows);
      return rows;
    } catch (error) {
      if (error instanceof WorkLimitReached && error.isOfOneCall) this.#answers.set(key, error);
      throw error;
    }
  }

  /** Whether `rows` can return all rows. Throws `WorkLimitReached` if not only this call reached a limit. */
  canList(predicate: string, args: readonly CallArgument[]): boolean {
    try {
      this.rows(predicate, args);
      return true;
    } catch (error) {
      if (error instanceof WorkLimitReached && error.isOfOneCall) return false;
      throw error;
    }
  }

  /** As `rows`, but complete: throws `AppError` for rows that cannot be listed. It does not count as work. */
  everyRow(predicate: string, args: readonly CallArgument[]): Rows {
    return this.#typings(predicate, args).flatMap((types) => {
      this.#checkDeadline();
      return this.#query(predicate, args, types, null);
    });
  }

  /** `undefined` if the atom is no fact. */
  factOrigin(atom: GroundAtom): StoredOrContext | undefined {
    const key = factKey(atom);
    if (this.#facts.has(key)) return this.#facts.get(key);
    this.step();
    const [predicate] = splitKey(atom.predicate);
    const isStored = this.isStorable(atom) && this.#engine.isStored({ predicate, args: atom.args });
    const isContextFact = !isStored && this.#contextFacts.has(factKey({ predicate, args: atom.args }));
    const origin = isStored ? "stored" : isContextFact ? "context" : undefined;
    this.#facts.set(key, origin);
    return origin;
  }

  /** Whether such a stored fact would be read: the policy asks for it, or there are head facts of its type. */
  isStorable({ predicate, args }: OpenAtom): boolean {
    const accepts = (type: TypeName, arg: Value | undefined): boolean => !type || !arg || type === arg.type;
    return this.#readTypes.factTypes.some(
      (fact) => fact.predicate === predicate && fact.types.every((type, position) => accepts(type, args[position])),
    );
  }

  /** Counts one step of work. Throws `WorkLimitReached`. */
  step(): void {
    this.#stepsLeft -= 1;
    if (this.#stepsLeft < 0) throw new WorkLimitReached("steps");
    if (this.#stepsLeft % 64 === 0) this.#checkDeadline();
  }

  #checkDeadline(): void {
    if (performance.now() > this.#options.endMs) throw new WorkLimitReached("time");
  }

  /** All combinations of concrete types with which the predicate can hold for these arguments. */
  #typings(predicate: string, args: readonly CallArgument[]): string[][] {
    const found = new Map<string, string[]>();
    const signatures = (this.#options.signatures ?? this.#readTypes.signatures).get(predicate);
    const known = (): ArgumentPattern[] =>
      args.map((arg) => ({ types: arg.kind === "value" ? new Set([arg.value.type]) : arg.types, id: undefined }));
    for (const signature of signatures?.candidates(known) ?? []) {
      let partial: string[][] = [[]];
      args.forEach((arg, position) => {
        const choices = this.#choices(arg, signature[position]);
        const same = args.findIndex(
          (other) => arg.kind === "variable" && other.kind === "variable" && other.index === arg.index,
        );
        partial = partial.flatMap((types) =>
          choices
            .filter((type) => same < 0 || same === position || types[same] === type)
            .map((type) => [...types, type]),
        );
        if (partial.length > this.#options.stepsMax) throw new WorkLimitReached("steps");
      });
      for (const types of partial) found.set(typeListKey(types), types);
    }
    return [...found.values()];
  }

  #choices(arg: CallArgument, known: TypeName): readonly string[] {
    const type = isTypeVariable(known) ? undefined : known;
    if (arg.kind === "value") return type === undefined || type === arg.value.type ? [arg.value.type] : [];
    if (type === undefined) return arg.types ? [...arg.types] : this.#types;
    return arg.types === undefined || arg.types.has(type) ? [type] : [];
  }

  #ask(predicate: string, args: readonly CallArgument[], types: readonly string[]): Rows {
    this.step();
    // One question can take as long as a thousand steps.
    this.#checkDeadline();
    try {
      return this.#query(predicate, args, types, null);
    } catch (error) {
      if (!(error instanceof AppError && error.code === "query_not_enumerable")) return this.#withoutAnswer(error);
    }
    // "All values except a few" cannot be listed; a value that nothing names stands for them.
    this.step();
    try {
      return this.#query(predicate, args, types, [anyId]);
    } catch (error) {
      return this.#withoutAnswer(error);
    }
  }

  /** No fact or rule holds for an invalid Integer. */
  #withoutAnswer(error: unknown): Rows {
    if (!(error instanceof AppError)) throw error;
    if (error.code === "invalid_request") return [];
    this.#checkDeadline();
    throw new WorkLimitReached(error instanceof TooManyFacts ? "facts" : "steps", true);
  }

  #query(
    predicate: string,
    args: readonly CallArgument[],
    types: readonly string[],
    openIds: readonly string[] | null,
  ): Rows {
    // Whether an unknown integer is greater than another has no answer.
    const isOrdered = (arg: CallArgument, position: number): boolean =>
      arg.kind === "variable" && must(types[position]) in someValue;
    if (openIds !== null && args.some(isOrdered)) return [];
    const names = args.map((arg, position) => (arg.kind === "variable" ? `v${arg.index}` : `a${position}`));
    const variables = new Map(
      args.map((arg, position) => {
        const type = must(types[position]);
        return [must(names[position]), { type, ids: arg.kind === "value" ? [idOf(arg.value)] : openIds }];
      }),
    );
    const calls = [{ predicate: splitKey(predicate)[0], variables: names }];
    const { closedEngine = this.#engine, contextFacts = [] } = this.#options;
    const engine = args.every(({ kind }) => kind === "value") ? closedEngine : this.#engine;
    return engine.query({ calls, variables, contextFacts }).map((row) =>
      args.map((arg, position) => {
        if (arg.kind === "value") return arg.value;
        return { type: must(types[position]), id: row[must(names[position])] ?? anyId };
      }),
    );
  }
}

function argumentKey(arg: CallArgument): string {
  return arg.kind === "value" ? valueKey(arg.value) : `?${numberKey(arg.index)}${typeSetKey(arg.types)}`;
}

/** For these types a valid value stands for every value, because not every string is a value of them. */
const someValue: Readonly<Record<string, string>> = { Integer: "-8888888888888888887", Boolean: "true" };

function idOf({ type, id }: Value): string {
  return id === anyId ? (someValue[type] ?? id) : id;
}
