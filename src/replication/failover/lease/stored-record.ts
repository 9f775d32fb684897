/**
 * The record of a lease as the engines store it: the fields of `lease.ts`, an id of each write, and the time to live.
 */
import { z } from "zod";
import { nextFailoverTerm } from "../../../store/log/terms.ts";
import { describeProblem } from "../../../util/bounded-schema.ts";
import type { LeaseRecord } from "./lease.ts";

const id = z.string().min(1).max(1000);

export const storedRecordSchema = z.object({
  term: z.int().nonnegative(),
  node: id,
  token: id,
  successor: id.optional(),
  hasHistory: z.boolean(),
  /** Released by its holder, so that no node has to wait. A renewal in flight must not undo it. */
  released: z.boolean().default(false),
  /** A new value for each write. So other nodes notice each write, and a writer recognizes its own. */
  renewal: id,
  /** How long the lease lasts, by its holder's setting. */
  ttlMs: z.number().positive(),
});

export type StoredRecord = z.output<typeof storedRecordSchema>;
/** The content of the next write, before it gets a value of `renewal` and a time to live. */
export type NextRecord = Omit<StoredRecord, "renewal" | "ttlMs">;

/** Throws if it is not a record: another program writes to the same place. */
export function parseRecord(text: string, place: string): StoredRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${place} holds no lease of Ostiary: it is not JSON`);
  }
  const parsed = storedRecordSchema.safeParse(value);
  if (!parsed.success) throw new Error(`${place} holds no lease of Ostiary: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

/**
 * The record of a node that acquires the lease after the stored one. Throws if there is no later term, which no cluster
 * reaches.
 */
export function acquiredRecord(
  stored: StoredRecord | undefined,
  { node, token, minTerm }: { readonly node: string; readonly token: string; readonly minTerm: number },
): NextRecord {
  const term = nextFailoverTerm(stored?.term ?? 0, minTerm);
  if (!Number.isSafeInteger(term))
    throw new Error(
      "its record has a term that is too great to be real; remove the record, and check who may write there",
    );
  return { term, node, token, hasHistory: stored?.hasHistory ?? false, released: false };
}

/** The record with what its holder has learned since. */
export function renewedRecord(stored: StoredRecord, held: LeaseRecord): NextRecord {
  return { ...stored, hasHistory: stored.hasHistory || held.hasHistory };
}

/** The released record: free immediately, or reserved for one node. */
export function releasedRecord(stored: StoredRecord, held: LeaseRecord, successor: string | undefined): NextRecord {
  const renewed = renewedRecord(stored, held);
  return successor === undefined ? { ...renewed, released: true } : { ...renewed, successor };
}

/** Whether a process still holds this record: it wrote the record and has not released it. */
export function isHeldBy(stored: StoredRecord | undefined, token: string): stored is StoredRecord {
  return stored !== undefined && stored.token === token && !stored.released && stored.successor === undefined;
}

export function toLeaseRecord({ term, node, token, successor, hasHistory }: StoredRecord): LeaseRecord {
  return { term, node, token, successor, hasHistory };
}
