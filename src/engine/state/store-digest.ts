/**
 * The digest of everything that is stored, computed anew: what the one that is kept along the way must equal. A million facts take a second: rows
 * are read as ids, a value, which comes in many facts, is made into text once, and a fact's text is put together from the bytes of its values.
 */
import { desc } from "drizzle-orm";
import type { Connection } from "../../store/connection/connection.ts";
import { factTables } from "../../store/facts/fact-tables.ts";
import { scanRows } from "../../store/facts/scan-facts.ts";
import * as schema from "../../store/connection/schema.ts";
import { must } from "../../util/assert.ts";
import { HashSum, factText, formatDigest, keyElement, policyElement } from "./digest.ts";
import { EncodedValues } from "./encoded-values.ts";

/** The caller's transaction makes it one state, whatever is written meanwhile. Throws where a fact names a value that there is not. */
export function computeDigest(database: Connection): string {
  let sum = sumFacts(database);
  const policy = database.orm.select().from(schema.policy).orderBy(desc(schema.policy.id)).limit(1).get();
  if (policy) sum += policyElement(policy.id, policy.source);
  for (const key of database.orm.select().from(schema.apiKey).all()) sum += keyElement(key);
  return formatDigest(sum);
}

function sumFacts(database: Connection): bigint {
  const texts = new EncodedValues(database);
  const sum = new HashSum();
  const line = new FactEncoder();
  for (const { table, predicate, arity } of factTables(database)) {
    line.begin(factText(predicate));
    for (const page of scanRows(database, table, arity)) {
      for (const ids of page) {
        line.restart();
        // By number: an iterator for each fact would take a tenth of the time.
        for (let index = 0; index < arity; index++) line.append(texts, must(ids[index]));
        sum.add(line.end());
      }
    }
  }
  return sum.value;
}

const encoder = new TextEncoder();
const endOfFact = "]".charCodeAt(0);

/** The text of one fact after another, in the same memory. */
class FactEncoder {
  #bytes = new Uint8Array(4096);
  /** What is given out, by length: making one takes longer than filling it. */
  #views: Uint8Array[] = [];
  #beginning = 0;
  #length = 0;

  /** What all begin with from now on. */
  begin(text: string): void {
    const bytes = encoder.encode(text);
    this.#length = 0;
    this.#reserve(bytes.length);
    this.#bytes.set(bytes);
    this.#beginning = bytes.length;
  }

  restart(): void {
    this.#length = this.#beginning;
  }

  append(texts: EncodedValues, id: number): void {
    texts.find(id);
    const { bytes, start, end } = texts;
    this.#reserve(end - start);
    const own = this.#bytes;
    let length = this.#length;
    // They are few: a call to copy them would take longer.
    for (let at = start; at < end; at++) own[length++] = bytes[at] as number;
    this.#length = length;
  }

  /** Valid until the next fact. */
  end(): Uint8Array {
    this.#reserve(1);
    this.#bytes[this.#length++] = endOfFact;
    return (this.#views[this.#length] ??= this.#bytes.subarray(0, this.#length));
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array((this.#length + count) * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#views = [];
  }
}
