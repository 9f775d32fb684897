/** Fetches JSON documents of the OIDC issuer, within limits: no redirects, a time limit, and a maximum size. */
import type { Limits } from "../../config/limits.ts";
import type { Fetch } from "../../replication/system.ts";
import { deadline, type Clock } from "../../util/clock.ts";

export interface IssuerSource {
  /** As in the claim `iss`. */
  readonly issuer: string;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly limits: Pick<
    Limits,
    | "oidcFetchTimeoutMs"
    | "oidcResponseBytesMax"
    | "oidcKeysRefreshMs"
    | "oidcKeysFetchIntervalMsMin"
    | "oidcKeysAgeMsMax"
    | "oidcVerificationsMax"
  >;
}

/** The discovery document of an issuer is at this path below its URL. */
export const discoveryPath = "/.well-known/openid-configuration";

/** What an issuer publishes. */
export interface IssuerDocuments {
  /** The discovery document (OpenID Connect Discovery, 3), of which only `issuer` and `jwks_uri` were checked. */
  readonly discovery: Readonly<Record<string, unknown>>;
  /** The public keys as a JSON Web Key Set, not checked. */
  readonly keys: unknown;
}

/** Rejects if a document is missing or not as expected. */
export async function fetchIssuerDocuments(source: IssuerSource): Promise<IssuerDocuments> {
  const { issuer } = source;
  const document = await fetchJson(source, issuer.replace(/\/$/, "") + discoveryPath);
  // OpenID Connect Discovery (4.3): otherwise one issuer could speak for another one.
  if (memberOf(document, "issuer") !== issuer)
    throw new Error(`the discovery document is of \`${String(memberOf(document, "issuer"))}\``);
  const url = memberOf(document, "jwks_uri");
  if (typeof url !== "string") throw new Error("the discovery document has no `jwks_uri`");
  return { discovery: document as IssuerDocuments["discovery"], keys: await fetchJson(source, url) };
}

/** Whether requests to this URL are safe from others in the network: HTTPS, or HTTP to an issuer on this machine. */
export function isSafeUrl(url: string, issuer: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  if (protocol === "https:") return true;
  return protocol === "http:" && isLoopback(hostname) && isLoopback(new URL(issuer).hostname);
}

export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]";
}

async function fetchJson({ issuer, fetch, clock, limits }: IssuerSource, url: string): Promise<unknown> {
  if (!isSafeUrl(url, issuer)) throw new Error(`\`${url}\` is not an HTTPS URL`);
  using late = deadline(clock, limits.oidcFetchTimeoutMs);
  // A redirect could lead to another scheme or into the network of this node.
  const options: RequestInit = { headers: { Accept: "application/json" }, redirect: "manual", signal: late.signal };
  const response = await fetch(url, options);
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status} instead of 200`);
  }
  return JSON.parse(await textOf(response, url, limits.oidcResponseBytesMax));
}

/** Rejects if the body is larger than `bytesMax`. */
export async function textOf(response: Response, url: string, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    // Leaving the loop cancels the rest of the response.
    if (size > bytesMax) throw new Error(`the response of ${url} is larger than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
