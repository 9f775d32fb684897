/**
 * SQL of questions that differ only in their ids: a template for each kind of question, with a gap for each id. Most
 * questions of an application have few kinds, and their central parts are empty, so that only ids differ in their SQL.
 *
 * A template comes from the SQL of the same question about stand-ins, which nothing else names. It is used only while
 * every central read of the question has the same answer as for the stand-ins: no fact, or yes or no. Everything else
 * is generated, and so is SQL that depends on the clock.
 */
import { LRUCache } from "lru-cache";
import { type FlatArgument, type FlatClause, mapClauseTerms } from "../datalog/ir/flat.ts";
import type { Constant } from "../datalog/ir/program.ts";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import type { DataBindings } from "./bindings.ts";
import type { CentralPart, CentralReader, ContextAtom } from "./clauses.ts";
import type { FactType } from "../datalog/analysis/fact-types.ts";
import { isValueOf } from "./sql-types.ts";

export interface TemplateOptions {
  readonly bindings: DataBindings;
  /** The types of the request's context facts. */
  readonly context: readonly FactType[];
  /** Whether the policy names the value. */
  readonly isNamed: (value: Constant) => boolean;
  readonly central: (real: (value: Constant) => Constant) => CentralReader;
  /** `@current_unix_time`. SQL for which it is asked depends on it, even if it has no number. */
  readonly now: () => number;
}

export interface TemplateQuestion {
  /** What the question is about, without these values. */
  readonly key: string;
  /** Values whose ids are gaps. */
  readonly values: readonly Constant[];
  /** The names in the question, which have to be names of the policy. */
  readonly names: readonly Constant[];
}

/** A central read for the stand-ins, and the number of its rows, which have no values. */
type Read =
  { readonly atom: ContextAtom; readonly max: number } | { readonly part: CentralPart; readonly count: number };

interface Template {
  readonly standIns: readonly Constant[];
  readonly reads: readonly Read[];
  /** The text between the gaps, and the value of each gap. */
  readonly parts: readonly string[];
  readonly gaps: readonly number[];
}

/** Templates are many, and clients can choose queries and columns, so that the memory of all has to have a bound. */
const templateCharactersMax = 32 * 1024;
const plainId = /^[A-Za-z0-9_.,@/+=-]{1,512}$/;
/** For each value of a question: two ids of each form, so that both templates can be compared. */
const standInIds = {
  text: [
    ["ost.standin.a1", "ost.standin.b1"],
    ["ost.standin.a2", "ost.standin.b2"],
  ],
  integer: [
    ["2014567893", "2017654329"],
    ["2023456787", "2036547891"],
  ],
  uuid: [
    ["6f0d2c1e-93a7-4b58-8c64-0e1f2a3b4c5d", "0b9a8c7d-6e5f-4132-a4b5-c6d7e8f90123"],
    ["d1c2b3a4-5f6e-4798-9a0b-1c2d3e4f5061", "5e4d3c2b-1a09-4f8e-b7d6-a5948372615f"],
  ],
} as const;

export class LocalTemplates {
  readonly #entriesMax: number;
  readonly #known = new WeakMap<DataBindings, LRUCache<string, Template | "asked" | "none">>();

  /** Keeps at most `entriesMax` templates for each object of bindings. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  /** The SQL of the question. `generate` gives it for any values; its errors are thrown. */
  sql<Options extends TemplateOptions>(
    question: TemplateQuestion,
    options: Options,
    generate: (values: readonly Constant[], options: Options) => string,
  ): string {
    const { key, values } = question;
    if (!isPlain(question, options)) return generate(values, options);
    const known = this.#known.getOrInsertComputed(options.bindings, () => new LRUCache({ max: this.#entriesMax }));
    const found = known.get(key);
    // A template takes several times as long as the SQL of one question.
    if (found === undefined) known.set(key, "asked");
    if (found === undefined || found === "none") return generate(values, options);
    const template = found === "asked" ? templateOf(question, options, generate) : found;
    if (found === "asked") known.set(key, template ?? "none");
    return (template && filled(template, values, options)) ?? generate(values, options);
  }
}

/** Whether the SQL can depend on the values only through literals that are their ids. */
function isPlain({ key, values, names }: TemplateQuestion, { bindings, context, isNamed }: TemplateOptions): boolean {
  if (bindings.dialect === "mysql" || bindings.hasParameters || context.length > 0 || key.length > 1024) return false;
  if (!names.every(isNamed) || new Set(values.map(({ id }) => id)).size < values.length) return false;
  return values.every(({ type, id }) => {
    const sqlType = bindings.sqlTypes.get(type);
    const isId = sqlType === undefined || (isValueOf(sqlType, id) && !id.startsWith("-"));
    return (
      isId &&
      type !== "Integer" &&
      type !== "Boolean" &&
      plainId.test(id) &&
      !isNamed({ type, id }) &&
      !isFixed({ type, id }, bindings)
    );
  });
}

/** Whether a signature has the value in it. */
function isFixed({ type, id }: Constant, { bindings }: DataBindings): boolean {
  return bindings.some(({ signature }) => signature.args.some((arg) => arg.type === type && arg.id === id));
}

function templateOf<Options extends TemplateOptions>(
  question: TemplateQuestion,
  options: Options,
  generate: (values: readonly Constant[], options: Options) => string,
): Template | undefined {
  const [first, second] = [standInsOf(question, 0, options), standInsOf(question, 1, options)];
  if (!first || !second) return undefined;
  const record = (standIns: readonly Constant[]): Template | undefined => {
    let recorder: Recorder | undefined;
    let isTimeless = true;
    const now = (): number => {
      isTimeless = false;
      return options.now();
    };
    const central = (real: (value: Constant) => Constant): Recorder =>
      (recorder = new Recorder(options.central(real), standIns));
    let sql: string;
    try {
      sql = generate(standIns, { ...options, now, central });
    } catch (error) {
      // There may be facts about stand-ins that have no SQL, or too many.
      if (error instanceof AppError) return undefined;
      throw error;
    }
    if (!recorder?.reads || !isTimeless || sql.length > templateCharactersMax) return undefined;
    const reads = [...new Map(recorder.reads.map((read) => [JSON.stringify(read), read])).values()];
    return { ...split(sql, standIns), standIns, reads };
  };
  const template = record(first);
  const other = template && record(second);
  // Ids that change more than the gaps make no template.
  const isSame =
    other?.reads.length === template?.reads.length &&
    other?.gaps.join() === template?.gaps.join() &&
    other?.parts.join("\0") === template?.parts.join("\0");
  return isSame ? template : undefined;
}

function standInsOf({ key, values }: TemplateQuestion, which: 0 | 1, options: TemplateOptions): Constant[] | undefined {
  const { bindings, isNamed } = options;
  const texts = [key, ...bindings.bindings.flatMap(({ query, signature }) => [query, signature.text])];
  const standIns = values.flatMap(({ type }, index): Constant[] => {
    const sqlType = bindings.sqlTypes.get(type);
    const id = standInIds[sqlType?.form ?? "text"][index]?.[which];
    if (id === undefined || isNamed({ type, id }) || (sqlType && !isValueOf(sqlType, id))) return [];
    return texts.some((text) => text.includes(id)) ? [] : [{ type, id }];
  });
  return standIns.length === values.length ? standIns : undefined;
}

function split(sql: string, standIns: readonly Constant[]): Pick<Template, "parts" | "gaps"> {
  const ids = standIns.map(({ id }) => id);
  const pattern = new RegExp(ids.map((id) => id.replaceAll(".", "\\.")).join("|"), "g");
  const gaps = [...sql.matchAll(pattern)].map(([id]) => ids.indexOf(id));
  return { parts: sql.split(pattern), gaps };
}

/** Records what is read. `reads` is undefined if an answer has values, or if a read follows recursion. */
class Recorder implements CentralReader {
  reads: Read[] | undefined = [];
  readonly #central: CentralReader;
  readonly #standIns: readonly Constant[];

  constructor(central: CentralReader, standIns: readonly Constant[]) {
    this.#central = central;
    this.#standIns = standIns;
  }

  facts(atom: ContextAtom, max: number): ReturnType<CentralReader["facts"]> {
    const found = this.#central.facts(atom, max);
    if (found?.length === 0 && !this.#isOneOf(atom.args)) this.reads?.push({ atom, max });
    else this.reads = undefined;
    return found;
  }

  rows(part: CentralPart): ReturnType<CentralReader["rows"]> {
    const found = this.#central.rows(part);
    const isKnown = part.atoms.every((atom) => atom.kind !== "recursive" && !this.#isOneOf(atom.args));
    if (isKnown && found.every((row) => row.length === 0)) this.reads?.push({ part, count: found.length });
    else this.reads = undefined;
    return found;
  }

  /** Whether a stand-in is one of several constants, where no other value can be put. */
  #isOneOf(args: readonly FlatArgument[]): boolean {
    return args.some((arg) => arg.kind === "oneOf" && arg.values.some((value) => indexIn(this.#standIns, value) >= 0));
  }
}

function indexIn(standIns: readonly Constant[], { type, id }: Constant): number {
  return standIns.findIndex((value) => value.type === type && value.id === id);
}

/** The SQL with these values; undefined if a central read has another answer than for the stand-ins. */
function filled(
  { standIns, reads, parts, gaps }: Template,
  values: readonly Constant[],
  options: TemplateOptions,
): string | undefined {
  const central = options.central((value) => value);
  const real = (clause: FlatClause): FlatClause =>
    mapClauseTerms(clause, (term) => {
      const index = term.kind === "const" ? indexIn(standIns, term.value) : -1;
      return index < 0 ? term : { kind: "const", value: must(values[index]) };
    });
  const isSame = reads.every((read) => {
    if ("atom" in read) {
      const { atoms } = real({ head: [], atoms: [read.atom], conditions: [], negations: [] });
      return central.facts(atoms[0] as ContextAtom, read.max)?.length === 0;
    }
    const { atoms, conditions, outputs } = read.part;
    const part = real({ head: [], atoms, conditions, negations: [] });
    const rows = central.rows({ atoms: part.atoms, conditions: part.conditions, outputs });
    return rows.length === read.count && rows.every((row) => row.length === 0);
  });
  if (!isSame) return undefined;
  return parts.map((part, index) => part + (gaps[index] === undefined ? "" : must(values[gaps[index]]).id)).join("");
}
