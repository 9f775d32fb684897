/** The versions of the policy of a running node. */
import { z } from "zod";
import { AppError } from "../util/app-error.ts";
import { UsageError } from "./command.ts";
import { callNode, expectAnswer, type NodeAccess } from "./node-api.ts";

const version = z.object({
  id: z.number(),
  active: z.boolean(),
  filename: z.string().nullable(),
  time: z.string(),
  author: z.object({ id: z.string(), name: z.string().nullable() }).nullable(),
  message: z.string().nullable(),
  bytes: z.number(),
});
export type PolicyVersion = z.output<typeof version>;

const page = z.object({ versions: z.array(version), next_page_token: z.string().optional() });
const source = z.object({ policy: z.object({ filename: z.string().nullable(), src: z.string() }).nullable() });
export type PolicySource = NonNullable<z.output<typeof source>["policy"]>;

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
    const read = await readPage(access, { page_size: "1000", ...(token !== undefined && { page_token: token }) });
    versions.push(...read.versions);
    token = read.next_page_token;
  } while (token !== undefined);
  return versions;
}

/** The id of the active version, which is the newest one. Throws AppError `not_found`. */
export async function readActiveId(access: NodeAccess): Promise<number> {
  const [newest] = (await readPage(access, { page_size: "1" })).versions;
  if (newest === undefined) throw noPolicy();
  return newest.id;
}

async function readPage(access: NodeAccess, query: Readonly<Record<string, string>>): Promise<z.output<typeof page>> {
  const answer = await callNode(access, "GET", `/api/policy_history?${new URLSearchParams(query)}`);
  return expectAnswer(page, answer, "a page of policy versions");
}

/** The source of a version; of the active one without an id. Throws AppError `not_found`. */
export async function readPolicy(access: NodeAccess, id?: number): Promise<PolicySource> {
  const answer = await callNode(access, "GET", `/api/policy${id === undefined ? "" : `?id=${id}`}`);
  const { policy } = expectAnswer(source, answer, "a policy");
  if (policy !== null) return policy;
  if (id === undefined) throw noPolicy();
  throw new AppError("not_found", `there is no version \`${id}\`; \`ostiary policy history\` lists the versions`);
}

function noPolicy(): AppError {
  return new AppError("not_found", "no policy was loaded yet; `ostiary policy policy.polar` loads one");
}
