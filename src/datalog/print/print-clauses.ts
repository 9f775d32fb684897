/**
 * Prints flat clauses, selects and decision trees. A variable has a number, and its type where it occurs first.
 * `value:0` is a value of the request, and `@0` a value that a common table expression demands.
 */
import { printLiteral } from "../../polar/print.ts";
import { unreachable } from "../../util/assert.ts";
import type { FlatArgument, FlatAtom, FlatClause, FlatCondition } from "../ir/flat.ts";
import { splitKey } from "../ir/program.ts";
import type { Relation, Select } from "../ir/select.ts";
import { plainRelation } from "../rewrite/resolve-recursion.ts";
import type { DecisionNode } from "../sql/decision-tree.ts";
import { type ClosureLabels, printCondition, printPredicate } from "./print-terms.ts";

/** Prints one clause, select or tree: the variables of another one begin anew. */
export class ClausePrinter {
  readonly #closures: ClosureLabels;
  readonly #typed = new Set<number>();

  constructor(closures: ClosureLabels) {
    this.#closures = closures;
  }

  /** `(v0: User) if has_role(v0, "reader", value:1)` */
  clause({ head, atoms, conditions, negations }: FlatClause): string {
    return this.#implication(head, () => [
      ...atoms.map((atom) => this.#atom(atom)),
      ...conditions.map((condition) => this.#condition(condition)),
      ...negations.flat().map((body) => `not (${this.clause(body)})`),
    ]);
  }

  select({ head, relations, conditions, negations }: Select): string {
    return this.#implication(head, () => [
      ...relations.map((relation) => this.#relation(relation)),
      ...conditions.map((condition) => this.#condition(condition)),
      ...negations.flat().map((body) => `not (${this.select(body)})`),
    ]);
  }

  /** One line for each node, indented by its depth. */
  tree({ relation, tests, branches }: DecisionNode): string[] {
    const own = [
      ...(relation ? [this.#relation(relation)] : []),
      ...tests.map((test) =>
        test.kind === "condition" ? this.#condition(test.condition) : `not (${this.select(test.body)})`,
      ),
    ];
    const below = [...branches.values()].flatMap((branch) => this.tree(branch));
    if (own.length === 0) return below;
    return [own.join(" and "), ...below.map((line) => `  ${line}`)];
  }

  /** Without a head, the conditions alone. */
  #implication(head: readonly FlatArgument[], conditions: () => readonly string[]): string {
    const terms = head.map((term) => this.#term(term)).join(", ");
    const body = conditions().join(" and ") || "true";
    return head.length === 0 ? body : `(${terms}) if ${body}`;
  }

  #atom(atom: FlatAtom): string {
    if (atom.kind !== "recursive")
      return plainRelation(atom)
        .map((relation) => this.#relation(relation))
        .join("");
    return `${splitKey(atom.node.predicate)[0]}#${atom.node.id}${this.#arguments(atom.args)}`;
  }

  #relation({ table, args, isReflexive, filtered }: Relation): string {
    const printed = this.#arguments(args, filtered);
    switch (table.kind) {
      case "fact": {
        const source = `${printPredicate(table.predicate, this.#closures)}${printed}`;
        return isReflexive === true ? `(${args.map((arg) => this.#term(arg)).join(" = ")} or ${source})` : source;
      }
      case "context":
        return `context ${printPredicate(table.predicate, this.#closures)}${printed}`;
      case "ids":
        return `${args.map((arg) => this.#term(arg)).join(", ")} in ${table.param}`;
      case "named":
        return `${table.name}${printed}`;
      case "tagged":
        return `${table.name}[${table.tag}]${printed}`;
      default:
        return unreachable(table);
    }
  }

  #condition(condition: FlatCondition): string {
    return printCondition(condition, (term) => this.#term(term));
  }

  #arguments(args: readonly FlatArgument[], filtered = false): string {
    return `(${args.map((arg) => this.#term(arg, filtered)).join(", ")})`;
  }

  #term(term: FlatArgument, filtered = false): string {
    switch (term.kind) {
      case "var": {
        const isFirst = !this.#typed.has(term.id);
        this.#typed.add(term.id);
        return isFirst && term.type !== undefined ? `v${term.id}: ${term.type}` : `v${term.id}`;
      }
      case "const":
        return printLiteral(term.value);
      case "param":
        return term.name;
      case "now":
        return "@current_unix_time";
      case "fresh":
        return `some ${term.type ?? "value"}`;
      case "oneOf": {
        const values = term.values.map(printLiteral).join(" | ");
        return filtered ? `filter ${values}` : values;
      }
      default:
        return unreachable(term);
    }
  }
}
