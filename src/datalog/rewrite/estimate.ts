/** Estimates of how many rows a source has, from the statistics of the store. */
import { planning } from "../../util/tuning.ts";
import type { FlatArgument } from "../ir/flat.ts";
import type { IdRange, Relation, SqlCatalogue } from "../ir/select.ts";
import { type Estimate, isKnown } from "./join-order.ts";

/** The rows of facts and closures, by statistics. An empty table gives no estimate, because it may grow. */
export function estimateBy(catalogue: SqlCatalogue): Estimate<Relation> {
  return ({ table, args }, bound) => {
    const name = table.kind === "fact" ? catalogue.factTable(table.predicate) : undefined;
    if (name === undefined) return undefined;
    const known = args.flatMap((arg, position) => (isKnown(arg, bound) ? [position + 1] : []));
    const within = args.map((arg) => rangesOf(arg, catalogue));
    const most = catalogue.rowsMax(name, known, within);
    return most > 0 && Number.isFinite(most) ? most : undefined;
  };
}

/** Whether the arguments at these positions find few facts with a constant that is not in the lists of constants. */
export function isFewBeside({ table, args }: Relation, known: readonly number[], catalogue: SqlCatalogue): boolean {
  const name = table.kind === "fact" ? catalogue.factTable(table.predicate) : undefined;
  if (name === undefined) return true;
  const columns = known.map((position) => position + 1);
  const within = args.map((arg) => rangesOf(arg, catalogue));
  const beside = args.flatMap((arg, position) =>
    arg.kind === "oneOf"
      ? [catalogue.rowsMax(name, columns, within.with(position, gapsOf(within[position] ?? [])))]
      : [],
  );
  return beside.reduce((sum, rows) => sum + rows, 0) <= planning.filteredRowsMax;
}

/** The ranges between single ids. */
function gapsOf(ids: readonly IdRange[]): IdRange[] {
  const sorted = ids.map(({ low }) => low).sort((left, right) => left - right);
  return [0, ...sorted.map((id) => id + 1)].map((low, index) => ({ low, high: (sorted[index] ?? Infinity) - 1 }));
}

export function rangesOf(arg: FlatArgument, catalogue: SqlCatalogue): IdRange[] | undefined {
  switch (arg.kind) {
    case "const":
    case "oneOf":
      return (arg.kind === "const" ? [arg.value] : arg.values).map((value) => {
        const id = catalogue.idOf(value);
        return { low: id, high: id };
      });
    case "var":
    case "param":
      return arg.type === undefined ? undefined : [catalogue.idRange(arg.type)];
    default:
      return undefined;
  }
}
