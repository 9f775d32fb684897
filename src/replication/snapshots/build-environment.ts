/**
 * Builds the store of a new environment from that of another one: with its facts, their symbols, statistics and derived
 * tables, its active policy and its stored data bindings. It is a history of its own. It begins with these data, as if the events before had been
 * trimmed from its log, so its replicas begin with a snapshot.
 *
 * Secrets of the other environment must not get into the file, not even into its free pages. So tables with keys,
 * events, idempotency records, audit entries and settings are never read into it, instead of being emptied there.
 */
import { formatDigest, keyElement, parseDigest, policyElement } from "../../log/state/digest.ts";
import { writeDigest } from "../../log/state/apply.ts";
import { invalidatePlans } from "../../policy/activation.ts";
import { parseStoredText, storedText } from "../../policy/stored-policy.ts";
import type { SqliteDatabase } from "../../runtime/sqlite.ts";
import type { Connection } from "../../store/connection/connection.ts";
import { openStore } from "../../store/connection/open-store.ts";
import type { ApiKeyRow } from "../../store/keys/key-grant.ts";
import { isBindingsRow } from "../../store/keys/stored-bindings.ts";
import * as schema from "../../store/connection/schema.ts";
import { advanceState, createState } from "../../store/log/store-state.ts";
import { copyTables } from "../../store/snapshot/store-copy.ts";
import { must } from "../../util/assert.ts";

/** The environment to build, and the position at which its history begins. */
export interface EnvironmentBeginning {
  readonly environment: string;
  readonly epoch: string;
  readonly hash: string;
  readonly timeMs: number;
}

/** Their rows belong to the environment or to the node. */
const leftTables: ReadonlySet<string> = new Set(
  "state epoch policy log cleared answered api_key audit node".split(" "),
);

/** Not 0, since a store at 0 is empty, and replicas and recoveries need not ask for its data. */
const firstOffset = 1;

/** The number of the only version in the history of the policy. */
const firstPolicyId = 1;

interface CopiedData {
  /** The digest of the facts alone. */
  readonly factsDigest: bigint;
  /** The rows of stored data bindings. */
  readonly bindings: readonly ApiKeyRow[];
  readonly policy: { readonly source: string; readonly filename: string | null } | undefined;
}

/**
 * Builds it in a new file at `target`, while others read and write the store at `source`. Throws if the source is not a
 * store, and an error with the code `SQLITE_FULL` if the file would become larger than `bytesMax`. The caller has to
 * check the result: it also has any damage of the source, and then its digest is wrong.
 */
export function buildEnvironment(
  source: string,
  target: string,
  beginning: EnvironmentBeginning,
  bytesMax: number,
): void {
  const data = must(copyTables(source, target, leftTables, { bytesMax, read: readCopiedData }));
  const store = openStore(target, { wal: false });
  try {
    // The complete file is synced.
    store.exec("PRAGMA synchronous = OFF");
    store.transaction(() => beginHistory(store, data, beginning), "immediate");
  } finally {
    store.close();
  }
}

/** Reads from the schema `source`. The digest is not computed anew: then damaged facts would seem to be right. */
function readCopiedData(copy: SqliteDatabase): CopiedData {
  const [state] = copy.prepare("SELECT digest FROM source.state").values();
  let factsDigest = parseDigest(String(must(state, "the store has a state")[0]));
  const keys = copy.prepare("SELECT id, name, role, hash, time_ms FROM source.api_key").values();
  const bindings: ApiKeyRow[] = [];
  for (const [id, name, role, hash, timeMs] of keys as [string, string, "admin" | "write" | "read", string, number][]) {
    const row = { id, name, role, hash, timeMs };
    factsDigest -= keyElement(row);
    if (isBindingsRow(row)) bindings.push(row);
  }
  const [row] = copy.prepare("SELECT id, source, filename FROM source.policy ORDER BY id DESC LIMIT 1").values();
  if (row === undefined) return { factsDigest, bindings, policy: undefined };
  const [id, text, filename] = row as [number, string, string | null];
  factsDigest -= policyElement(id, text);
  // The author is a key or a person of the other environment.
  const stored = { ...parseStoredText(id, text), author: null };
  return { factsDigest, bindings, policy: { source: storedText(firstPolicyId, stored), filename } };
}

function beginHistory(
  store: Connection,
  { factsDigest, bindings, policy }: CopiedData,
  { environment, epoch, hash, timeMs }: EnvironmentBeginning,
): void {
  createState(store, environment, epoch);
  // No relation may have changed later than the state.
  store.exec("UPDATE relation SET version = 0");
  let digest = factsDigest;
  if (policy !== undefined) {
    store.orm
      .insert(schema.policy)
      .values({ id: firstPolicyId, timeMs, ...policy })
      .run();
    store.orm.update(schema.state).set({ policyId: firstPolicyId }).run();
    invalidatePlans(store);
    digest += policyElement(firstPolicyId, policy.source);
  }
  for (const row of bindings) {
    store.orm.insert(schema.apiKey).values(row).run();
    digest += keyElement(row);
  }
  writeDigest(store, formatDigest(digest));
  advanceState(store, { offset: firstOffset, hash, timeMs });
}
