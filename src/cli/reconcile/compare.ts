/**
 * Compares the facts of a node with those of the sources. Applications write to both while they are read, so that one
 * comparison shows differences which are none: only what two comparisons show is changed (`confirmed`).
 */
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
  /** Signatures whose sources are empty, and the deletions that match them: also those that count at another signature. */
  readonly emptied: readonly { readonly signature: string; readonly delete: number }[];
  /** Facts that only one of two comparisons would change. */
  readonly leftAlone: number;
}

/** A fact by its key, and the index of its signature. */
type Changes = ReadonlyMap<string, number>;

interface Differences {
  readonly inserts: Changes;
  readonly deletes: Changes;
  /** Distinct facts that both have, for each signature. */
  readonly same: readonly number[];
  /** Whether the source of each signature has no row. */
  readonly isEmpty: readonly boolean[];
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
): Promise<Differences> {
  /** The signature of each fact of the node; null once a source has it. */
  const stored = new Map<string, number | null>();
  for (const [index, { signature }] of sources.entries()) {
    for await (const fact of readNode(signature)) {
      const key = factKey(fact);
      if (!stored.has(key)) stored.set(key, index);
    }
  }
  const inserts = new Map<string, number>();
  const same: number[] = sources.map(() => 0);
  const isEmpty: boolean[] = sources.map(() => true);
  for (const [index, source] of sources.entries()) {
    for await (const key of factsOf(source, readSource)) {
      isEmpty[index] = false;
      const isStored = stored.get(key);
      if (isStored === undefined) inserts.getOrInsert(key, index);
      else if (isStored !== null) same[index] = (same[index] ?? 0) + 1;
      if (isStored !== undefined) stored.set(key, null);
    }
  }
  const deletes = [...stored].filter((entry): entry is [string, number] => entry[1] !== null);
  return { inserts, deletes: new Map(deletes), same, isEmpty };
}

/** Those of the facts that no source gives. */
export async function missingIn(
  sources: readonly FactSource[],
  facts: readonly Fact[],
  readSource: (source: FactSource) => AsyncIterable<Row>,
): Promise<readonly Fact[]> {
  const missing = new Map(facts.map((fact) => [factKey(fact), fact]));
  for (const source of sources) for await (const key of factsOf(source, readSource)) missing.delete(key);
  return [...missing.values()];
}

/** The keys of the facts of a source. */
async function* factsOf(
  source: FactSource,
  readSource: (source: FactSource) => AsyncIterable<Row>,
): AsyncGenerator<string> {
  let row = 0;
  for await (const columns of readSource(source)) {
    row += 1;
    const fact = factOf(source.signature, columns);
    if (typeof fact === "string")
      throw new AppError("invalid_request", `\`facts.${source.signature.text}\`, row ${row}: column ${fact}`);
    yield factKey(fact);
  }
}

/** The changes that the last comparison and an earlier one show, or all of a single one. */
export function confirmed(sources: readonly FactSource[], last: Differences, earlier = last): Comparison {
  const both = (kind: "inserts" | "deletes"): readonly (readonly [string, number])[] =>
    [...last[kind]].filter(([key]) => earlier[kind].has(key));
  const [inserts, deletes] = [both("inserts"), both("deletes")];
  const size = ({ inserts: some, deletes: others }: Differences): number => some.size + others.size;
  const countOf = (changes: readonly (readonly [string, number])[], index: number): number =>
    changes.filter(([, own]) => own === index).length;
  const deleted = deletes.map(([key]) => factOfKey(key));
  return {
    inserts: inserts.map(([key]) => factOfKey(key)),
    deletes: deleted,
    counts: sources.map(({ signature }, index) => {
      const [same, insert] = [last.same[index] ?? 0, countOf(inserts, index)];
      return { signature: signature.text, source: same + insert, same, insert, delete: countOf(deletes, index) };
    }),
    emptied: sources.flatMap(({ signature }, index) => {
      const count = last.isEmpty[index] === true ? deleted.filter((fact) => matches(fact, signature)).length : 0;
      return count === 0 ? [] : [{ signature: signature.text, delete: count }];
    }),
    leftAlone: size(last) + size(earlier) - 2 * (inserts.length + deletes.length),
  };
}

function matches({ predicate, args }: Fact, signature: Signature): boolean {
  return (
    predicate === signature.predicate &&
    args.length === signature.args.length &&
    signature.args.every(
      ({ type, id }, index) => args[index]?.type === type && (id ?? args[index].id) === args[index].id,
    )
  );
}
