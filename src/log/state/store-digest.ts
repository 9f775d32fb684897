/**
 * The digest of all stored facts, the policy and the API keys, computed from scratch. It must equal the digest that
 * `apply` maintains. A million facts take about a second, because each value is encoded only once: rows are read as
 * symbols, and the bytes of a fact are assembled from the bytes of its values.
 */
import { desc } from "drizzle-orm";
import type { SqlStatement, SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import * as schema from "../../store/connection/schema.ts";
import { factTables, scanRows } from "../../store/facts/fact-tables.ts";
import { ordinalOf, typeIdOf } from "../../store/facts/symbols.ts";
import { must } from "../../util/assert.ts";
import { factText, formatDigest, HashSum, keyElement, policyElement, valueText } from "./digest.ts";

/** Runs in the caller's transaction. Throws if a fact refers to a value that does not exist. */
export function computeDigest(database: Connection): string {
  return formatDigest(sumFacts(database) + sumPolicyAndKeys(database));
}

/** The digest without the facts, as a number. */
export function sumPolicyAndKeys(database: Connection): bigint {
  const policy = database.orm.select().from(schema.policy).orderBy(desc(schema.policy.id)).limit(1).get();
  let sum = policy ? policyElement(policy.id, policy.source) : 0n;
  for (const key of database.orm.select().from(schema.apiKey).all()) sum += keyElement(key);
  return sum;
}

function sumFacts(database: Connection): bigint {
  const values = new EncodedValues(database);
  const sum = new HashSum();
  const encoded = new EncodedFact();
  for (const { table, predicate, arity } of factTables(database)) {
    encoded.setPredicate(factText(predicate));
    for (const page of scanRows(database, table, arity)) {
      for (const symbols of page) {
        encoded.restart();
        // An index loop: an iterator for each fact would take a tenth of the time.
        for (let index = 0; index < arity; index++) encoded.append(values, must(symbols[index]));
        sum.add(encoded.finish());
      }
    }
  }
  return sum.value;
}

const encoder = new TextEncoder();
const endOfFact = "]".charCodeAt(0);

/** A buffer for the hashed bytes of one fact after another. */
class EncodedFact {
  #bytes = new Uint8Array(4096);
  /** Views on the buffer, by length: making a view takes longer than filling it. */
  #views: Uint8Array[] = [];
  #prefixLength = 0;
  #length = 0;

  /** Sets the text with which the facts that follow begin. */
  setPredicate(text: string): void {
    const bytes = encoder.encode(text);
    this.#length = 0;
    this.#reserve(bytes.length);
    this.#bytes.set(bytes);
    this.#prefixLength = bytes.length;
  }

  restart(): void {
    this.#length = this.#prefixLength;
  }

  append(values: EncodedValues, symbol: number): void {
    values.find(symbol);
    const { bytes, start, end } = values;
    this.#reserve(end - start);
    const target = this.#bytes;
    let length = this.#length;
    // Values are short: a call that copies the bytes would take longer than this loop.
    for (let at = start; at < end; at++) target[length++] = bytes[at] as number;
    this.#length = length;
  }

  /** The bytes of the fact, valid until the next one is begun. */
  finish(): Uint8Array {
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

/** Values beyond this size are looked up each time, which takes ten times as long. */
const encodedBytesMax = 128 * 2 ** 20;
const pageRows = 5000;

/** The encodings of values (a comma and `valueText`) by symbol, in one buffer: 30 MB for a million values. */
class EncodedValues {
  /** `find` returns an encoding here: `bytes` from `start` to `end` (excluded). */
  bytes: Uint8Array;
  start = 0;
  end = 0;
  readonly #typeNames: ReadonlyMap<number, string>;
  readonly #select: SqlStatement;
  #buffer = new Uint8Array(2 ** 20);
  #bufferLength = 0;
  /** By type id and ordinal, the start of each encoding in the buffer; the next start is its end. */
  readonly #starts: number[][] = [];

  constructor(database: Connection) {
    const types = database.orm.select().from(schema.type).all();
    this.#typeNames = new Map(types.map(({ id, name }) => [id, name]));
    this.#select = database.prepare("SELECT type, value FROM symbol WHERE id = ?1");
    this.#fill(database);
    this.bytes = this.#buffer;
  }

  /** Throws if no value has this symbol. */
  find(symbol: number): void {
    const starts = this.#starts[typeIdOf(symbol)];
    const ordinal = ordinalOf(symbol);
    const [start, end] = [starts?.[ordinal], starts?.[ordinal + 1]];
    if (start === undefined || end === undefined) return this.#lookUp(symbol);
    this.bytes = this.#buffer;
    this.start = start;
    this.end = end;
  }

  #lookUp(symbol: number): void {
    const [type, value] = must(this.#select.values(symbol)[0], "every value of a fact is known");
    this.bytes = this.#encode(type, value);
    this.start = 0;
    this.end = this.bytes.length;
  }

  #fill(database: Connection): void {
    const select = database.prepare(`SELECT id, type, value FROM symbol WHERE id > ?1 ORDER BY id LIMIT ${pageRows}`);
    let last = 0;
    while (this.#bufferLength < encodedBytesMax) {
      const page = select.values(last);
      for (const [symbol, type, value] of page) this.#add((last = Number(symbol)), this.#encode(type, value));
      if (page.length < pageRows) break;
    }
  }

  #add(symbol: number, encoding: Uint8Array): void {
    const starts = (this.#starts[typeIdOf(symbol)] ??= []);
    const ordinal = ordinalOf(symbol);
    // After a gap in the ordinals, the end of the value before it would be lost: values after it are looked up.
    if (starts.length > 0 && ordinal !== starts.length - 1) return;
    if (this.#bufferLength + encoding.length > this.#buffer.length) {
      const larger = new Uint8Array((this.#bufferLength + encoding.length) * 2);
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    this.#buffer.set(encoding, this.#bufferLength);
    starts[ordinal] = this.#bufferLength;
    this.#bufferLength += encoding.length;
    starts[ordinal + 1] = this.#bufferLength;
  }

  #encode(type: SqlValue | undefined, value: SqlValue | undefined): Uint8Array {
    const name = must(this.#typeNames.get(Number(type)), "every type of a value is known");
    return encoder.encode(`,${valueText(name, String(value))}`);
  }
}
