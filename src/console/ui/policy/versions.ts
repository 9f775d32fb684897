/** Reads the versions of the policy from the node. */
import type { policyEndpoints } from "../../../features/policy/endpoints.ts";
import type { Answer } from "../api/answer.ts";
import { call } from "../state/session.ts";
import type { StoredPolicy } from "./files.ts";
import type { PolicyVersion } from "./reports.ts";

const pageSize = 50;

export type VersionPage = Answer<typeof policyEndpoints.getPolicyHistory>;

/** The newest versions; with the token of a page, those that follow it. */
export function readVersions(token: string | undefined, signal: AbortSignal, size = pageSize): Promise<VersionPage> {
  const query = new URLSearchParams({ page_size: String(size), ...(token !== undefined && { page_token: token }) });
  return call(`/api/policy_history?${query}`, { signal }) as Promise<VersionPage>;
}

/** Null for a version that the history does not have. */
export async function readVersion(id: number, signal: AbortSignal): Promise<StoredPolicy | null> {
  const { policy } = (await call(`/api/policy?id=${id}`, { signal })) as { readonly policy: StoredPolicy | null };
  return policy && { id, ...policy };
}

/** A version with its text. */
export interface ActiveVersion {
  readonly policy: StoredPolicy;
  readonly version: PolicyVersion;
}

/** Undefined if no policy was loaded. */
export async function readActive(signal: AbortSignal): Promise<ActiveVersion | undefined> {
  const { versions } = await readVersions(undefined, signal, 1);
  const [version] = versions;
  if (version === undefined) return undefined;
  const policy = await readVersion(version.id, signal);
  return policy === null ? undefined : { policy, version };
}
