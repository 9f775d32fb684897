/** The versions of the policy of a running node. */
import { policyEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { AppError } from "../../util/app-error.ts";
import { UsageError } from "../../cli/command.ts";
import { callEndpoint, type NodeAccess } from "../../cli/node-api.ts";

type Page = ResponseOf<typeof policyEndpoints.getPolicyHistory>;
export type PolicyVersion = Page["versions"][number];
export type PolicySource = NonNullable<ResponseOf<typeof policyEndpoints.getPolicy>["policy"]>;

/** Throws UsageError if the text is not the id of a version. */
export function parseId(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new UsageError(`\`${text}\` is not the number of a version; \`ostiary policy history\` lists the versions`);
}

/** All versions, newest first. */
export async function readVersions(access: NodeAccess): Promise<PolicyVersion[]> {
  const versions: PolicyVersion[] = [];
  let token: string | undefined;
  do {
    const read = await readPage(access, { page_size: 1000, page_token: token });
    versions.push(...read.versions);
    token = read.next_page_token;
  } while (token !== undefined);
  return versions;
}

/** The id of the active version, which is the newest one. Throws AppError `not_found`. */
export async function readActiveId(access: NodeAccess): Promise<number> {
  const [newest] = (await readPage(access, { page_size: 1 })).versions;
  if (newest === undefined) throw noPolicy();
  return newest.id;
}

function readPage(access: NodeAccess, query: { page_size: number; page_token?: string | undefined }): Promise<Page> {
  return callEndpoint(access, policyEndpoints.getPolicyHistory, { query });
}

/** The source of a version; of the active one without an id. Throws AppError `not_found`. */
export async function readPolicy(access: NodeAccess, id?: number): Promise<PolicySource> {
  const { policy } = await callEndpoint(access, policyEndpoints.getPolicy, { query: { id } });
  if (policy !== null) return policy;
  if (id === undefined) throw noPolicy();
  throw new AppError("not_found", `there is no version \`${id}\`; \`ostiary policy history\` lists the versions`);
}

function noPolicy(): AppError {
  return new AppError("not_found", "no policy was loaded yet; `ostiary policy policy.polar` loads one");
}
