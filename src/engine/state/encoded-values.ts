/** What the values of facts are hashed as (`valueText`, after a comma), found by their ids. As bytes in one place they take 30 MB a million. */
import type { SqlStatement, SqlValue } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import * as schema from "../../store/connection/schema.ts";
import { ordinalOf, typeIdOf } from "../../store/facts/symbols.ts";
import { must } from "../../util/assert.ts";
import { valueText } from "./digest.ts";

/** Past so much memory values are looked up each time, which takes ten times as long. */
const bytesKept = 128 * 2 ** 20;
const pageRows = 5000;
const encoder = new TextEncoder();

export class EncodedValues {
  /** Where the text is that was asked for last: in `bytes` from `start` to before `end`. */
  bytes: Uint8Array;
  start = 0;
  end = 0;
  readonly #types: ReadonlyMap<number, string>;
  readonly #select: SqlStatement;
  #kept = new Uint8Array(2 ** 20);
  #keptLength = 0;
  /** By type and number, where the text of a value begins; where that of the next begins, it ends. */
  readonly #starts: number[][] = [];

  constructor(database: Connection) {
    const types = database.orm.select().from(schema.type).all();
    this.#types = new Map(types.map(({ id, name }) => [id, name]));
    this.#select = database.prepare("SELECT type, value FROM symbol WHERE id = ?1");
    this.#keep(database);
    this.bytes = this.#kept;
  }

  /** Throws where there is no such value. */
  find(id: number): void {
    const starts = this.#starts[typeIdOf(id)];
    const number = ordinalOf(id);
    const [start, end] = [starts?.[number], starts?.[number + 1]];
    if (start === undefined || end === undefined) return this.#lookUp(id);
    this.bytes = this.#kept;
    this.start = start;
    this.end = end;
  }

  #lookUp(id: number): void {
    const [type, value] = must(this.#select.values(id)[0], "every value of a fact is known");
    this.bytes = this.#encode(type, value);
    this.start = 0;
    this.end = this.bytes.length;
  }

  #keep(database: Connection): void {
    const select = database.prepare(`SELECT id, type, value FROM symbol WHERE id > ?1 ORDER BY id LIMIT ${pageRows}`);
    let last = 0;
    while (this.#keptLength < bytesKept) {
      const page = select.values(last);
      for (const [id, type, value] of page) this.#add((last = Number(id)), this.#encode(type, value));
      if (page.length < pageRows) break;
    }
  }

  #add(id: number, text: Uint8Array): void {
    const starts = (this.#starts[typeIdOf(id)] ??= []);
    const number = ordinalOf(id);
    // After a gap, where the one before it ends would be lost; it is looked up each time instead.
    if (starts.length > 0 && number !== starts.length - 1) return;
    if (this.#keptLength + text.length > this.#kept.length) {
      const larger = new Uint8Array((this.#keptLength + text.length) * 2);
      larger.set(this.#kept);
      this.#kept = larger;
    }
    this.#kept.set(text, this.#keptLength);
    starts[number] = this.#keptLength;
    this.#keptLength += text.length;
    starts[number + 1] = this.#keptLength;
  }

  #encode(type: SqlValue | undefined, value: SqlValue | undefined): Uint8Array {
    const name = must(this.#types.get(Number(type)), "every type of a value is known");
    return encoder.encode(`,${valueText(name, String(value))}`);
  }
}
