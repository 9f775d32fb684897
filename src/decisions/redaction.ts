/**
 * Redaction: the parts of decisions that the settings keep out of the log, or only let in as keyed hashes. A hash is the
 * same for the same id, so decisions can be searched by a value that one knows, and nobody without the key can try ids.
 */
import { createHmac } from "node:crypto";
import { omittableFields } from "../config/redacted-fields.ts";
import type { LoggedValue, QuestionParts } from "./decision-question.ts";

export type RedactedField = (typeof omittableFields)[number];

export interface RedactionOptions {
  readonly omit: readonly string[];
  readonly hash: readonly string[];
  readonly hashKey: Uint8Array;
}

/** Half of an HMAC-SHA-256. */
const hashBytes = 16;

export class Redaction {
  readonly #omit: ReadonlySet<string>;
  readonly #hash: ReadonlySet<string>;
  readonly #key: Uint8Array;

  constructor({ omit, hash, hashKey }: RedactionOptions) {
    this.#omit = new Set(omit);
    this.#hash = new Set(hash);
    this.#key = hashKey;
  }

  omits(field: RedactedField): boolean {
    return this.#omit.has(field);
  }

  hashes(field: RedactedField): boolean {
    return this.#hash.has(field) && !this.#omit.has(field);
  }

  /** The keyed hash of a text. Ids of actors, resources and facts share it, so that they can be compared. */
  hashOf(text: string): Uint8Array {
    return new Uint8Array(createHmac("sha256", this.#key).update(text).digest().subarray(0, hashBytes));
  }

  /** The fields of these parts that were changed, by number in `omittableFields`, as a set of bits; 0 for none. */
  redact(parts: QuestionParts): { readonly parts: QuestionParts; readonly redacted: number } {
    if (this.#omit.size === 0 && this.#hash.size === 0) return { parts, redacted: 0 };
    const { actor, action, resource, contextFacts, rest } = parts;
    const shownRest = rest && (this.#redactRest(rest) as QuestionParts["rest"]);
    const shown = {
      actor: this.#redactValue("actor", actor),
      action,
      resource: this.#redactValue("resource", resource),
      contextFacts: this.#redactContext(contextFacts) as QuestionParts["contextFacts"],
      rest: shownRest,
    };
    const changed = (field: RedactedField): boolean => this.omits(field) || this.hashes(field);
    const redacted =
      (actor?.id !== undefined && changed("actor") ? 1 : 0) |
      (resource?.id !== undefined && changed("resource") ? 2 : 0) |
      (contextFacts.length > 0 && changed("context") ? 4 : 0) |
      (JSON.stringify(shownRest) === JSON.stringify(rest) ? 0 : questionBit);
    return { parts: shown, redacted };
  }

  /** Actors and resources are not told apart in lists and patterns: the stricter rule applies to all their ids. */
  #redactRest(value: unknown): unknown {
    const fields = ["actor", "resource"] as const;
    const field = fields.find((each) => this.omits(each)) ?? fields.find((each) => this.hashes(each));
    const context = (facts: unknown): unknown => this.#redactContext(facts);
    return field === undefined ? mapMembers(value, "contextFacts", context) : this.#redactIds(value, field, context);
  }

  #redactContext(facts: unknown): unknown {
    if (this.omits("context")) return [];
    return this.hashes("context") ? this.#redactIds(facts, "context", (each) => each) : facts;
  }

  #redactValue(field: RedactedField, value: LoggedValue | undefined): LoggedValue | undefined {
    if (value?.id === undefined) return value;
    if (this.omits(field)) return { type: value.type };
    return this.hashes(field) ? { type: value.type, hash: hex(this.hashOf(value.id)) } : value;
  }

  /** Replaces each `id`, and each text in a list `ids`, wherever it is; `context` replaces context facts. */
  #redactIds(value: unknown, field: RedactedField, context: (facts: unknown) => unknown): unknown {
    if (Array.isArray(value)) return value.map((each) => this.#redactIds(each, field, context));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, member]): [string, unknown][] => {
        if (name === "id" && typeof member === "string")
          return this.omits(field) ? [] : [["hash", hex(this.hashOf(member))]];
        if (name === "ids" && Array.isArray(member))
          return this.omits(field) ? [] : [["hashes", member.map((id) => hex(this.hashOf(String(id))))]];
        return [[name, name === "contextFacts" ? context(member) : this.#redactIds(member, field, context)]];
      }),
    );
  }
}

/** Replaces the members with this name, wherever they are. */
function mapMembers(value: unknown, name: string, change: (member: unknown) => unknown): unknown {
  if (Array.isArray(value)) return value.map((each) => mapMembers(each, name, change));
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).map(([key, member]) => [
    key,
    key === name ? change(member) : mapMembers(member, name, change),
  ]);
  return Object.fromEntries(members) as unknown;
}

/** The question as a whole was changed, or is missing. */
export const questionBit = 64;

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The names of the fields in a set of bits. */
export function redactedFields(bits: number): string[] {
  const fields: string[] = omittableFields.filter((_, index) => (bits & (1 << index)) !== 0);
  return (bits & questionBit) === 0 ? fields : [...fields, "question"];
}
