/** The record of a lease as the engines store it: what `lease.ts` says, and whether the lease was released. */
import { z } from "zod";
import { describeProblem } from "../../util/bounded-schema.ts";
import { nextSuccession } from "../../store/terms.ts";
import type { LeaseRecord } from "./lease.ts";

const id = z.string().min(1).max(1000);

export const storedRecord = z.object({
  term: z.int().nonnegative(),
  node: id,
  token: id,
  successor: id.optional(),
  hasHistory: z.boolean(),
  /** Given up by its holder, so that nobody has to wait. A renewal that was still under way must not take it back. */
  released: z.boolean().default(false),
});

export type StoredRecord = z.output<typeof storedRecord>;

/** Throws where it is no record: somebody else writes to the same place. */
export function parseRecord<Schema extends z.ZodType>(text: string, schema: Schema, place: string): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${place} holds no lease of Ostiary: it is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Error(`${place} holds no lease of Ostiary: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

/** Of a node that takes the lease after what is stored. */
export function succeeding(
  stored: StoredRecord | undefined,
  { node, token, minTerm }: { readonly node: string; readonly token: string; readonly minTerm: number },
): StoredRecord {
  const term = nextSuccession(stored?.term ?? 0, minTerm);
  return { term, node, token, hasHistory: stored?.hasHistory ?? false, released: false };
}

/** With what its holder has learned since. */
export function renewing(stored: StoredRecord, held: LeaseRecord): StoredRecord {
  return { ...stored, hasHistory: stored.hasHistory || held.hasHistory };
}

/** Given up: at once, or to one node. */
export function releasing(stored: StoredRecord, held: LeaseRecord, successor: string | undefined): StoredRecord {
  const renewed = renewing(stored, held);
  return successor === undefined ? { ...renewed, released: true } : { ...renewed, successor };
}

/** Whether a process may go on with this record: it is of this process, which has not given it up. */
export function isHeldBy(stored: StoredRecord | undefined, token: string): stored is StoredRecord {
  return stored !== undefined && stored.token === token && !stored.released && stored.successor === undefined;
}

export function leaseRecord({ released: _released, ...record }: StoredRecord): LeaseRecord {
  return record;
}
