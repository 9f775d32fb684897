/**
 * One of several constants, such as any of three roles: found by one lookup after another, or by one that finds the
 * facts by all else and passes by those with other constants.
 */
import type { FlatArgument } from "../ir/flat.ts";
import type { Constant } from "../ir/program.ts";
import type { Relation, Select, SqlCatalogue } from "../ir/select.ts";
import { isFewBeside } from "./estimate.ts";
import { bindSource, isKnown } from "./join-order.ts";

/**
 * A clause for each combination of its constants: SQLite makes a table of every `IN` list before it looks anything up,
 * which takes longer than three lookups. Where an index finds the rows by what else there is, one lookup does for all
 * constants. Where there would be many combinations, the lists stay. The relations are in join order.
 */
export function expandConstantLists(select: Select, names: SqlCatalogue): Select[] {
  const relations = withFilters(select, names);
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

function withFilters({ relations }: Select, names: SqlCatalogue): Relation[] {
  const bound = new Set<string>();
  return relations.map((relation) => {
    const found = [withoutConstants(relation), relation].find((one) => isFoundAtOnce(one, bound, names));
    bindSource(relation, bound);
    return found ? { ...found, filtered: true } : relation;
  });
}

/**
 * A constant is a list of one. What is found without it is found in one place with what is found without others: all
 * that an actor has.
 */
function withoutConstants(relation: Relation): Relation {
  const args = relation.args.map((arg): FlatArgument =>
    arg.kind === "const" ? { kind: "oneOf", values: [arg.value] } : arg,
  );
  return { ...relation, args };
}

/** Whether one look finds the facts whichever of the constants they hold, and few others with them. */
function isFoundAtOnce(relation: Relation, bound: ReadonlySet<string>, names: SqlCatalogue): boolean {
  const { table, args } = relation;
  if (table.kind !== "fact" || !args.some((arg) => arg.kind === "oneOf")) return false;
  const { predicate } = table;
  const known = args.flatMap((arg, position) => (arg.kind !== "oneOf" && isKnown(arg, bound) ? [position] : []));
  const isBetween = args.some(
    (arg, position) => arg.kind === "var" && arg.type !== undefined && names.hasIndex(predicate, known, position),
  );
  const isLooked = known.length > 0 && (isBetween || (known.length > 1 && names.hasIndex(predicate, known)));
  return isLooked && isFewBeside(relation, known, names);
}

function withArgument(select: Select, number: number, position: number, value: Constant): Select {
  const relations = select.relations.map((relation, index) =>
    index === number ? { ...relation, args: relation.args.with(position, { kind: "const", value }) } : relation,
  );
  return { ...select, relations };
}
