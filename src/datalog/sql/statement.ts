/** Builds one SQL statement: the table expressions of recursive atoms, the final `SELECT`, and the parameters. */
import { must } from "../../util/assert.ts";
import { type FlatArgument, type FlatAtom, type FlatClause, type FlatTerm, NotPlannable } from "../ir/flat.ts";
import { flatArgumentKey, listKey, numberKey } from "../ir/key.ts";
import { conditionTerms } from "../ir/program.ts";
import type { Loop, OpenSelect, Select, SqlCatalogue } from "../ir/select.ts";
import type { PredicateNode, SpecialisedBody } from "../ir/specialised.ts";
import { boundBy, isKnown } from "../rewrite/join-order.ts";
import { type AnswerVariant, type RecursionPlanner, resolveClause } from "../rewrite/resolve-recursion.ts";
import type { UnfoldOptions } from "../rewrite/unfold.ts";
import { emitSelect, emitTerm, emitValue, type SqlContext, StatementParameters } from "./emit.ts";
import { Recursion, type RecursionOptions } from "./recursion.ts";

export interface StatementGoal {
  readonly body: SpecialisedBody;
  /** The term of each variable of the body. */
  readonly terms: readonly FlatTerm[];
  /** The terms that the goal asks for; empty for a yes or no. */
  readonly head: readonly FlatTerm[];
  /** The lists of ids that the request has for variables. */
  readonly ids: readonly Extract<FlatAtom, { kind: "ids" }>[];
  /** The first unused number of a variable. */
  readonly firstVariable: number;
}

export interface PlannedStatement {
  /**
   * For a yes or no, one row with 1 or 0. Otherwise distinct rows of strings, with NULL for a wildcard. If `open` is not
   * empty, there is one more column: NULL, or for an open answer its index in `open`. Open values are NULL as well.
   */
  readonly sql: string;
  readonly open: readonly OpenSelect[];
  /** Parameter names, in order: of terms, `now`, `nowSeconds`, `requestSymbols`, `context:<predicate>`, `limit`. */
  readonly parameters: readonly string[];
  /**
   * Whether the answer to a yes or no depends on the clock. If the facts decide that, a statement that returns 1 if
   * there are facts to compare with the clock, and 0 otherwise.
   */
  readonly clock: "never" | "always" | Pick<PlannedStatement, "sql" | "parameters">;
  readonly loops: readonly Loop[];
  readonly expressions: readonly TableExpression[];
}

/** A common table expression: the union of selections with a tag and columns `c0 …`. */
export interface TableExpression {
  readonly name: string;
  readonly tags: number;
  /** The SQL terms of each column in the selections. */
  readonly columns: readonly ReadonlySet<string>[];
}

export interface StatementLimits {
  readonly clausesMax: number;
  /** Steps of unfolding, including those of all recursions. */
  readonly stepsMax: number;
}

/** Emits clauses as one SQL expression, 1 or 0. */
export type EmitDecision = (selects: readonly Select[], context: SqlContext) => string;

export class StatementBuilder {
  /** The common table expressions so far, in order of definition. */
  readonly definitions: string[] = [];
  readonly #expressions: TableExpression[] = [];
  readonly #loops: Loop[] = [];
  readonly #open: OpenSelect[] = [];
  readonly context: SqlContext;
  readonly #limits: StatementLimits;
  readonly #shared = new Map<string, readonly AnswerVariant[]>();
  readonly #costs = new Map<string, number>();
  readonly #emitDecision: EmitDecision;
  #variables: number;
  #names = 0;
  #steps = 0;

  constructor(catalogue: SqlCatalogue, limits: StatementLimits, firstVariable: number, emitDecision: EmitDecision) {
    this.#limits = limits;
    this.#emitDecision = emitDecision;
    this.#variables = firstVariable;
    let aliases = 0;
    this.context = {
      catalogue,
      parameters: new StatementParameters(),
      alias: () => `t${aliases++}`,
      units: new Set(),
      onLoop: (loop) => this.#loops.push(loop),
    };
  }

  /** Limits and fresh variables for unfolding, shared by everything that becomes part of the statement. */
  unfoldOptions(): UnfoldOptions {
    return {
      clausesMax: this.#limits.clausesMax,
      fresh: () => this.#variables++,
      spend: () => {
        if (++this.#steps > this.#limits.stepsMax) throw new NotPlannable("planning takes too long");
      },
    };
  }

  /** Replaces recursive atoms by common table expressions, which it defines. */
  resolve(clauses: readonly FlatClause[]): Select[] {
    return clauses.flatMap((clause) => resolveClause(clause, this.#planner, [], [], true));
  }

  /** The statement with this final `SELECT`, which has the answers of `selects`. */
  statement(goal: StatementGoal, selects: readonly Select[], body: string): PlannedStatement {
    const definitions = this.definitions.length > 0 ? `WITH RECURSIVE ${this.definitions.join(", ")} ` : "";
    const parameters = this.context.parameters.names();
    const isClocked = parameters.includes("now") || parameters.includes("nowSeconds");
    // The statement about the clock is a separate one, so its loops do not count for this one.
    const [loops, expressions] = [[...this.#loops], [...this.#expressions]];
    const clock = isClocked ? this.#clock(goal, selects) : "never";
    return { sql: definitions + body, open: this.#open, parameters, clock, loops, expressions };
  }

  readonly #planner: RecursionPlanner = {
    cost: (node, mode) => this.#costs.getOrInsertComputed(`${node.id} ${mode}`, () => this.#costOf(node, mode)),
    answers: (node, mode, seed, args) => {
      if (seed.relations.length > 0) return Recursion.from(node, mode, seed, this.#options()).answers(seed, args);
      // Clauses share the answers of one call with the same values of the request.
      const key = `${node.id} ${mode} ${listKey(seed.args.map(flatArgumentKey))}`;
      const known = this.#shared.get(key);
      if (known) return known.map((variant) => rebase(variant, args));
      const made = Recursion.from(node, mode, seed, this.#options()).answers(seed, args);
      this.#shared.set(key, made);
      return made;
    },
    hits: (node, mode, seed) => Recursion.from(node, mode, seed, this.#options()).hits(seed),
  };

  #costOf(node: PredicateNode, mode: string): number {
    try {
      return new Recursion(node, mode, this.#options()).cost();
    } catch (error) {
      if (error instanceof NotPlannable) return Number.POSITIVE_INFINITY;
      throw error;
    }
  }

  #options(): RecursionOptions {
    return {
      context: this.context,
      unfold: this.unfoldOptions(),
      define: (name, columns, body, selections) => {
        const list = ["tag", ...Array.from({ length: columns }, (_, index) => `c${index}`)].join(", ");
        this.#expressions.push(expressionOf(name, columns, selections));
        this.definitions.push(`${name}(${list}) AS (${body})`);
      },
      name: (prefix) => `${prefix}${this.#names++}`,
      planner: this.#planner,
    };
  }

  #clock(goal: StatementGoal, selects: readonly Select[]): PlannedStatement["clock"] {
    const timeless =
      this.definitions.length === 0 && goal.head.length === 0
        ? selects.flatMap((select) => withoutClock(select) ?? [])
        : [];
    if (timeless.length !== selects.length) return "always";
    const clocked = timeless.filter((select, index) => select !== selects[index]);
    const parameters = new StatementParameters();
    const decision = this.#emitDecision(clocked, { ...this.context, parameters });
    return { sql: `SELECT CASE WHEN ${decision} THEN 1 ELSE 0 END`, parameters: parameters.names() };
  }

  /** The final `SELECT` for a list: distinct rows of strings. */
  rows(selects: readonly Select[], width: number): string {
    const columns = Array.from({ length: width }, (_, index) => index);
    const single = selects.length === 1 ? "DISTINCT " : "";
    const found = selects.filter((select) => !isConstantAnswer(select));
    this.#open.push(...new Set(selects.flatMap(({ open }) => open ?? [])));
    const parts = [
      ...found.map((select) => emitSelect(select, (head) => single + this.#row(head, select), this.context)),
      ...this.#constantAnswers(selects.filter(isConstantAnswer)),
    ];
    const union = parts.join(" UNION ") || `SELECT ${named(columns.map(() => "NULL"))} WHERE 0`;
    const texts = columns.map((column) => this.#stringColumn(column, selects));
    const from = `(${union}) AS u${texts.map(({ join }) => join).join("")}`;
    const limit = this.context.parameters.number("limit");
    const list = [...texts.map(({ text }) => text), ...(this.#open.length > 0 ? ["u.open"] : [])];
    return `SELECT ${list.join(", ")} FROM ${from} LIMIT ${limit}`;
  }

  /** The columns of a row of the select. */
  #row(head: readonly string[], { open }: Select): string {
    const mark = open ? this.#open.indexOf(open) : "NULL";
    return this.#open.length > 0 ? `${named(head)}, ${mark} AS open` : named(head);
  }

  /**
   * Selections for answers that are constants of rules, such as names of actions, or witnesses. Each needs a decision;
   * equal decisions are shared.
   */
  #constantAnswers(selects: readonly Select[]): string[] {
    const groups = Map.groupBy(
      selects,
      ({ head, open }) => listKey(head.map(flatArgumentKey)) + numberKey(open ? this.#open.indexOf(open) : -1),
    );
    const answers = [...groups.values()].map((group) => {
      const first = must(group[0]);
      const head = first.head.map((term) => emitTerm(term, new Map(), this.context));
      let aliases = 0;
      // Aliases start from 0 for each group, so that equal decisions have equal texts.
      const question = this.#emitDecision(group, { ...this.context, alias: () => `t${aliases++}`, onLoop: () => {} });
      return { row: this.#row(head, first), group, question };
    });
    return [...Map.groupBy(answers, ({ question }) => question).values()].map((same) => {
      const heads = same.map(({ row }) => `SELECT ${row}`).join(" UNION ALL ");
      return `SELECT * FROM (${heads}) WHERE ${this.#emitDecision(must(same[0]).group, this.context)}`;
    });
  }

  /**
   * The string of a column, NULL for a wildcard. If it has only stored values, a join with the symbol table costs less
   * than half.
   */
  #stringColumn(column: number, selects: readonly Select[]): { readonly text: string; readonly join: string } {
    const id = `u.o${column}`;
    if (selects.some((select) => mayBeRequestValue(must(select.head[column]), select)))
      return { text: `CASE WHEN ${id} IS NULL THEN NULL ELSE ${emitValue(id, this.context)} END`, join: "" };
    const isAlwaysThere = selects.every((select) => isStored(must(select.head[column]), select));
    return {
      text: `s${column}.value`,
      join: ` ${isAlwaysThere ? "CROSS" : "LEFT"} JOIN symbol AS s${column} ON s${column}.id = ${id}`,
    };
  }
}

function expressionOf(name: string, width: number, selections: readonly string[]): TableExpression {
  const heads = selections.map((selection) => {
    const [, head = ""] = /^SELECT (.*?)(?: FROM | WHERE |$)/s.exec(selection) ?? [];
    return head.split(", ");
  });
  const termsOf = (column: number): Set<string> => new Set(heads.map((head) => head[column + 1] ?? ""));
  return {
    name,
    tags: new Set(heads.map(([tag]) => tag)).size,
    columns: Array.from({ length: width }, (_, column) => termsOf(column)),
  };
}

function named(columns: readonly string[]): string {
  return columns.map((column, index) => `${column} AS o${index}`).join(", ");
}

/** Whether all terms of the answer are constants of the rule, or witnesses. */
function isConstantAnswer({ head }: Select): boolean {
  return head.every((term) => term.kind === "const" || term.kind === "fresh");
}

function isStored(term: FlatTerm, { relations }: Select): boolean {
  return term.kind !== "fresh" && isKnown(term, boundBy(relations));
}

/** Whether the answer can be a value that is not stored: from the request, a context fact, or the clock. */
function mayBeRequestValue(term: FlatTerm, { relations }: Select): boolean {
  return (
    term.kind === "param" ||
    term.kind === "now" ||
    relations.some(({ table }) => table.kind !== "fact" && table.kind !== "named")
  );
}

/** The variant of a shared answer with the arguments of another call. */
function rebase(variant: AnswerVariant, args: readonly FlatTerm[]): AnswerVariant {
  const wild = new Set(variant.wild);
  return { ...variant, relation: { ...variant.relation, args: args.filter((_, position) => !wild.has(position)) } };
}

/** The clause without comparisons with the clock; the same object if it has none, `undefined` for other uses. */
function withoutClock(select: Select): Select | undefined {
  const conditions = select.conditions.filter((condition) => !conditionTerms(condition).some(isNow));
  const left = conditions.length === select.conditions.length ? select : { ...select, conditions };
  return mentionsClock(left) ? undefined : left;
}

function mentionsClock({ relations, conditions, negations }: Select): boolean {
  return (
    relations.some(({ args }) => args.some(isNow)) ||
    conditions.some((condition) => conditionTerms(condition).some(isNow)) ||
    negations.some((bodies) => bodies.some(mentionsClock))
  );
}

function isNow(term: FlatArgument): boolean {
  return term.kind === "now";
}
