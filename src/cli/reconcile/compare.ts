/** Compares the facts of a node with those of the sources. */
import { AppError } from "../../util/app-error.ts";
import type { Fact } from "../../store/facts/fact.ts";
import type { FactSource } from "./reconcile-file.ts";
import type { Signature } from "../../local/signature.ts";
import { factKey, factOf, factOfKey } from "./row-facts.ts";
import type { Row } from "./sources.ts";

export interface Comparison {
  readonly inserts: readonly Fact[];
  readonly deletes: readonly Fact[];
  readonly counts: readonly Counts[];
}

/** Distinct facts. A fact that several signatures match counts at the first of them. */
export interface Counts {
  readonly signature: string;
  /** Facts of the source. */
  readonly source: number;
  /** Facts that the node has too. */
  readonly same: number;
  readonly insert: number;
  readonly delete: number;
}

/**
 * Reads the node before the sources, so that a fact which an application writes meanwhile to both is not deleted. The
 * facts of the node are kept in memory, those of the sources are not.
 */
export async function compare(
  sources: readonly FactSource[],
  readNode: (signature: Signature) => AsyncIterable<Fact>,
  readSource: (source: FactSource) => AsyncIterable<Row>,
): Promise<Comparison> {
  /** The signature of each fact of the node; null once a source has it. */
  const stored = new Map<string, number | null>();
  for (const [index, { signature }] of sources.entries()) {
    for await (const fact of readNode(signature)) {
      const key = factKey(fact);
      if (!stored.has(key)) stored.set(key, index);
    }
  }
  const inserts = new Set<string>();
  const counts: Counts[] = [];
  for (const source of sources) {
    let [same, insert, row] = [0, 0, 0];
    for await (const columns of readSource(source)) {
      row += 1;
      const fact = factOf(source.signature, columns);
      if (typeof fact === "string")
        throw new AppError("invalid_request", `\`facts.${source.signature.text}\`, row ${row}: column ${fact}`);
      const key = factKey(fact);
      const isStored = stored.get(key);
      if (isStored !== undefined) {
        if (isStored !== null) same += 1;
        stored.set(key, null);
      } else if (!inserts.has(key)) {
        inserts.add(key);
        insert += 1;
      }
    }
    counts.push({ signature: source.signature.text, source: same + insert, same, insert, delete: 0 });
  }
  const deletes = [...stored].flatMap(([key, index]) => (index === null ? [] : [{ fact: factOfKey(key), index }]));
  const deletedOf = Map.groupBy(deletes, ({ index }) => index);
  return {
    inserts: [...inserts].map(factOfKey),
    deletes: deletes.map(({ fact }) => fact),
    counts: counts.map((each, index) => ({ ...each, delete: deletedOf.get(index)?.length ?? 0 })),
  };
}
