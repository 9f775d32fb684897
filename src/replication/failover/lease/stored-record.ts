/** The record of a lease as the engines store it: what `lease.ts` says, what tells each write from others, and for how long it holds. */
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
  /** Given up by its holder, so that nobody has to wait. A renewal that was still under way must not take it back. */
  released: z.boolean().default(false),
  /** Another one with each write: so each write can be seen, and a writer finds its own again. */
  renewal: id,
  /** How long the lease lasts, by its holder's setting. */
  ttlMs: z.number().positive(),
});

export type StoredRecord = z.output<typeof storedRecordSchema>;
/** What the next write says, before it gets a name and a time to live. */
export type NextRecord = Omit<StoredRecord, "renewal" | "ttlMs">;

/** Throws where it is no record: somebody else writes to the same place. */
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

/** Of a node that takes the lease after what is stored. Throws where no later term can be counted: nobody has begun so many. */
export function acquiredRecord(
  stored: StoredRecord | undefined,
  { node, token, minTerm }: { readonly node: string; readonly token: string; readonly minTerm: number },
): NextRecord {
  const term = nextFailoverTerm(stored?.term ?? 0, minTerm);
  if (!Number.isSafeInteger(term))
    throw new Error(
      "its record has a term that is too great to be true; remove the record, and see who may write there",
    );
  return { term, node, token, hasHistory: stored?.hasHistory ?? false, released: false };
}

/** With what its holder has learned since. */
export function renewedRecord(stored: StoredRecord, held: LeaseRecord): NextRecord {
  return { ...stored, hasHistory: stored.hasHistory || held.hasHistory };
}

/** Given up: at once, or to one node. */
export function releasedRecord(stored: StoredRecord, held: LeaseRecord, successor: string | undefined): NextRecord {
  const renewed = renewedRecord(stored, held);
  return successor === undefined ? { ...renewed, released: true } : { ...renewed, successor };
}

/** Whether a process may go on with this record: it is of this process, which has not given it up. */
export function isHeldBy(stored: StoredRecord | undefined, token: string): stored is StoredRecord {
  return stored !== undefined && stored.token === token && !stored.released && stored.successor === undefined;
}

export function toLeaseRecord({ term, node, token, successor, hasHistory }: StoredRecord): LeaseRecord {
  return { term, node, token, successor, hasHistory };
}
