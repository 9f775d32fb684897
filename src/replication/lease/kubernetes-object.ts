/**
 * Converts the record of a lease to and from a Lease object of Kubernetes (coordination.k8s.io/v1). The fields of its
 * `spec` have the values that other tools expect. Annotations hold the data that only Ostiary uses.
 */
import { z } from "zod";
import { describeProblem } from "../../util/bounded-schema.ts";
import { storedRecordSchema, type StoredRecord } from "./lease.ts";
import { type RecordVersion } from "./record-lease.ts";
import { parseJson } from "./service-calls.ts";

export const apiVersion = "coordination.k8s.io/v1";
const annotationPrefix = "ostiary.dev/";

/** A loose schema: a write keeps what others have added to the object. */
const leaseObject = z.looseObject({
  metadata: z.looseObject({
    resourceVersion: z.string().min(1),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  spec: z
    .looseObject({
      holderIdentity: z.string().nullish(),
      leaseDurationSeconds: z.int().nullish(),
      acquireTime: z.string().nullish(),
      leaseTransitions: z.int().nullish(),
    })
    .optional(),
});
export type LeaseObject = z.output<typeof leaseObject>;

/** Throws if the API server's answer is not a Lease object, or the object is of another program. */
export function parseLeaseObject(text: string): RecordVersion<LeaseObject> {
  const value = parseJson(text);
  if (value === undefined) throw new Error("an answer that is not JSON");
  const parsed = leaseObject.safeParse(value);
  if (!parsed.success) throw new Error(`an unexpected answer: ${describeProblem(parsed.error)}`);
  return { record: toStoredRecord(parsed.data), origin: parsed.data };
}

function toStoredRecord({ metadata: { annotations = {} }, spec }: LeaseObject): StoredRecord | undefined {
  const own = (name: string): string | undefined => annotations[annotationPrefix + name];
  const holder = spec?.holderIdentity ?? "";
  if (own("term") === undefined) {
    if (holder === "") return undefined;
    throw new Error("the Lease is of another program; name another one in `failover`");
  }
  const parsed = storedRecordSchema.safeParse({
    term: Number(own("term")),
    node: own("node"),
    token: own("token"),
    successor: own("successor"),
    hasHistory: own("has-history") === "true",
    released: holder === "",
    renewal: own("renewal"),
    ttlMs: Number(own("ttl-ms")),
  });
  if (!parsed.success) throw new Error(`the Lease has unexpected annotations: ${describeProblem(parsed.error)}`);
  return parsed.data;
}

/** The object to write: a new one, or the one that was read with another record. */
export function toLeaseObject(
  record: StoredRecord,
  replaced: RecordVersion<LeaseObject> | undefined,
  { namespace, name, wallMs }: { readonly namespace: string; readonly name: string; readonly wallMs: number },
): object {
  const before = replaced?.origin;
  const entries = Object.entries(before?.metadata.annotations ?? {});
  const others = Object.fromEntries(entries.filter(([key]) => !key.startsWith(annotationPrefix)));
  return {
    apiVersion,
    kind: "Lease",
    ...before,
    metadata: { ...(before?.metadata ?? { namespace, name }), annotations: { ...others, ...toAnnotations(record) } },
    spec: { ...before?.spec, ...toSpec(record, replaced, wallMs) },
  };
}

function toAnnotations(record: StoredRecord): Record<string, string> {
  const own = {
    term: String(record.term),
    node: record.node,
    token: record.token,
    "has-history": String(record.hasHistory),
    renewal: record.renewal,
    "ttl-ms": String(record.ttlMs),
    ...(record.successor === undefined ? {} : { successor: record.successor }),
  };
  return Object.fromEntries(Object.entries(own).map(([name, value]) => [annotationPrefix + name, value]));
}

/** As in client-go: a released lease has no holder and lasts one second. The times are only for people. */
function toSpec(record: StoredRecord, replaced: RecordVersion<LeaseObject> | undefined, wallMs: number): object {
  const before = replaced?.origin.spec;
  const isSame = replaced?.record?.token === record.token && replaced.record.term === record.term;
  const transitions = before?.leaseTransitions ?? 0;
  // `metav1.MicroTime` has six digits after the second.
  const now = new Date(wallMs).toISOString().replace("Z", "000Z");
  return {
    holderIdentity: record.released ? undefined : record.node,
    leaseDurationSeconds: record.released ? 1 : Math.ceil(record.ttlMs / 1000),
    acquireTime: isSame ? (before?.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: isSame || replaced?.record === undefined ? transitions : transitions + 1,
  };
}
