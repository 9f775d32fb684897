/** Collects the program after each pass of the pipeline, as text. It contains only what one question reaches. */
import type { FactType } from "../analysis/fact-types.ts";
import type { FlatClause } from "../ir/flat.ts";
import type { DatalogProgram } from "../ir/program.ts";
import type { Select } from "../ir/select.ts";
import type { SpecialisedBody } from "../ir/specialised.ts";
import type { DecisionNode } from "../sql/decision-tree.ts";
import { ClausePrinter } from "./print-clauses.ts";
import { printProgramRule, printSignature, reachedPredicates } from "./print-program.ts";
import { printNodes, printQuestion } from "./print-rules.ts";
import type { ClosureLabels } from "./print-terms.ts";

export interface PassOutput<Pass> {
  readonly pass: Pass;
  readonly program: readonly string[];
}

export class PassTrace<Pass> {
  readonly outputs: PassOutput<Pass>[] = [];
  readonly #closures: ClosureLabels;
  readonly #arguments: readonly string[];
  #reached: ReadonlySet<string>;

  /** `predicate` is what the question calls, and `questionArguments` are the names of its variables. */
  constructor(predicate: string, questionArguments: readonly string[], closures: ClosureLabels) {
    this.#reached = new Set([predicate]);
    this.#arguments = questionArguments;
    this.#closures = closures;
  }

  program(pass: Pass, program: DatalogProgram): void {
    this.#reached = reachedPredicates(program, this.#reached);
    this.#add(pass, program.rules.filter(({ predicate }) => this.#reached.has(predicate)).map(printProgramRule));
  }

  /** The types of stored facts, or signatures. */
  types(pass: Pass, found: readonly FactType[]): void {
    const reached = found.filter(({ predicate }) => this.#reached.has(predicate));
    const lines = reached.map(({ predicate, types }) => printSignature(predicate, types));
    this.#add(pass, lines);
  }

  /** `undefined` is a goal that nothing can answer. */
  nodes(pass: Pass, goals: readonly (SpecialisedBody | undefined)[]): void {
    const lines = goals.flatMap((body) => {
      if (!body) return ["nothing can answer the question"];
      const nodes = printNodes(body, this.#closures).flatMap(({ node, recursive, rules }) => [
        recursive ? `${node}, recursive` : node,
        ...rules.map(({ text }) => `  ${text}`),
      ]);
      return [printQuestion(body, this.#arguments, this.#closures), ...nodes];
    });
    this.#add(pass, lines);
  }

  clauses(pass: Pass, clauses: readonly FlatClause[]): void {
    const lines = clauses.map((clause) => new ClausePrinter(this.#closures).clause(clause));
    this.#add(pass, lines);
  }

  selects(pass: Pass, selects: readonly Select[], definitions: readonly string[] = []): void {
    const lines = selects.map((select) => new ClausePrinter(this.#closures).select(select));
    this.#add(pass, [...lines, ...definitions]);
  }

  tree(pass: Pass, root: DecisionNode): void {
    this.#add(pass, new ClausePrinter(this.#closures).tree(root));
  }

  sql(pass: Pass, sql: string): void {
    this.#add(pass, [sql]);
  }

  #add(pass: Pass, program: readonly string[]): void {
    this.outputs.push({ pass, program });
  }
}
