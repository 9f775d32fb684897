/** Decides how to search for one of several constants: one lookup for each, or one that filters the rows. */
import type { FlatArgument } from "../ir/flat.ts";
import type { Constant } from "../ir/program.ts";
import type { Relation, Select, SqlCatalogue } from "../ir/select.ts";
import { isFewBeside } from "./estimate.ts";
import { bindSource, isKnown } from "./join-order.ts";

/**
 * A clause for each combination of constants: SQLite would build a table of every `IN` list first, which takes longer
 * than three lookups. If an index finds the rows by the other arguments, one lookup filters them. Many combinations
 * stay lists. The relations must be in join order.
 */
export function expandConstantLists(select: Select, catalogue: SqlCatalogue): Select[] {
  const relations = markFilters(select, catalogue);
  let expanded: Select[] = [{ ...select, relations }];
  for (const [number, relation] of relations.entries()) {
    for (const [position, arg] of relation.args.entries()) {
      if (arg.kind !== "oneOf" || relation.filtered || expanded.length * arg.values.length > combinationsMax) continue;
      expanded = expanded.flatMap((one) => arg.values.map((value) => withArgument(one, number, position, value)));
    }
  }
  return expanded;
}

const combinationsMax = 16;

function markFilters({ relations }: Select, catalogue: SqlCatalogue): Relation[] {
  const bound = new Set<string>();
  return relations.map((relation) => {
    const found = [constantsAsLists(relation), relation].find((one) => isOneLookup(one, bound, catalogue));
    bindSource(relation, bound);
    return found ? { ...found, filtered: true } : relation;
  });
}

/** A single constant becomes a list, so that it is filtered too: clauses can share a lookup (of an actor's roles). */
function constantsAsLists(relation: Relation): Relation {
  const args = relation.args.map((arg): FlatArgument =>
    arg.kind === "const" ? { kind: "oneOf", values: [arg.value] } : arg,
  );
  return { ...relation, args };
}

/** Whether one lookup by the other arguments finds the facts, with few other rows. */
function isOneLookup(relation: Relation, bound: ReadonlySet<string>, catalogue: SqlCatalogue): boolean {
  const { table, args } = relation;
  if (table.kind !== "fact" || !args.some((arg) => arg.kind === "oneOf")) return false;
  const { predicate } = table;
  const known = args.flatMap((arg, position) => (arg.kind !== "oneOf" && isKnown(arg, bound) ? [position] : []));
  const isBetween = args.some(
    (arg, position) => arg.kind === "var" && arg.type !== undefined && catalogue.hasIndex(predicate, known, position),
  );
  const isLooked = known.length > 0 && (isBetween || (known.length > 1 && catalogue.hasIndex(predicate, known)));
  return isLooked && isFewBeside(relation, known, catalogue);
}

function withArgument(select: Select, number: number, position: number, value: Constant): Select {
  const relations = select.relations.map((relation, index) =>
    index === number ? { ...relation, args: relation.args.with(position, { kind: "const", value }) } : relation,
  );
  return { ...select, relations };
}
