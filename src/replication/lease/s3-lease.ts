/**
 * The lease of the primary as an object in S3 or a storage with the same API. Conditional writes make it safe:
 * `If-None-Match: *` creates the object, `If-Match` replaces the version that was read. Some storages ignore these
 * headers. So the first write of a process tests them on a second object, with `.probe` after the key.
 */
import { AwsV4Signer } from "aws4fetch";
import { createHash } from "node:crypto";
import type { S3Location } from "../../config/failover-url.ts";
import { AppError } from "../../util/app-error.ts";
import type { RenewedTlsFiles } from "../renewed-tls-files.ts";
import type { System } from "../system.ts";
import { type Lease, type LeaseOptions, parseRecord } from "./lease.ts";
import { RecordLease, type RecordStore } from "./record-lease.ts";
import { withAttemptTimeout, leaseCallTimeoutMs, readBoundedText } from "./service-calls.ts";

/** Throws AppError `conflict` if the environment has no credentials. */
export function s3Lease(
  place: S3Location,
  { node, ttlMs }: LeaseOptions,
  tls: RenewedTlsFiles,
  system: Pick<System, "fetch" | "clock">,
): Lease {
  const { bucket, key, endpoint, region } = place;
  const send = s3Sender(place, credentialsIn(process.env), tls, ttlMs, system);
  const service = `S3 at ${endpoint ?? `AWS (${region})`} (\`s3://${bucket}/${key}\`)`;
  // Without the permission to list, AWS answers "access denied" for an object that does not exist.
  const remedy =
    "check that the bucket exists and that the credentials allow s3:ListBucket, and s3:GetObject and s3:PutObject " +
    `for \`${key}\` and \`${key}.probe\``;
  return new RecordLease(s3Store(urlOf(place), send), { service, remedy, node, ttlMs }, system.clock);
}

interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

function credentialsIn(environment: NodeJS.ProcessEnv): Credentials {
  const accessKeyId = environment["AWS_ACCESS_KEY_ID"] ?? "";
  const secretAccessKey = environment["AWS_SECRET_ACCESS_KEY"] ?? "";
  const sessionToken = environment["AWS_SESSION_TOKEN"] ?? "";
  if (accessKeyId === "" || secretAccessKey === "")
    throw new AppError(
      "conflict",
      "`failover` is in S3, and the environment lacks `AWS_ACCESS_KEY_ID` or `AWS_SECRET_ACCESS_KEY`",
    );
  return { accessKeyId, secretAccessKey, ...(sessionToken === "" ? {} : { sessionToken }) };
}

type WriteCondition = { readonly "If-None-Match": "*" } | { readonly "If-Match": string };

interface S3Response {
  readonly status: number;
  readonly etag: string | undefined;
  readonly text: string;
}

type Send = (
  method: string,
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string | undefined,
  outer: AbortSignal,
) => Promise<S3Response>;

/** The object and its ETag. */
function s3Store(objectUrl: string, send: Send): RecordStore<string> {
  let honoursConditions = false;

  const put = async (url: string, condition: WriteCondition, text: string, signal: AbortSignal) => {
    const answer = await send("PUT", url, { ...condition, "Content-Type": "application/json" }, text, signal);
    if (answer.status !== 200 && !isConflict(answer)) throw responseError(answer);
    return answer;
  };

  /** A storage that ignores conditions would let two nodes be the primary. */
  const tryConditions = async (signal: AbortSignal): Promise<void> => {
    if (honoursConditions) return;
    const url = `${objectUrl}.probe`;
    const text = "Ostiary wrote this to see whether conditional writes work.";
    const create: WriteCondition = { "If-None-Match": "*" };
    const isCreated = !isConflict(await put(url, create, text, signal));
    const conditions: WriteCondition[] = isCreated ? [create] : [];
    conditions.push({ "If-Match": `"${"0".repeat(32)}"` });
    for (const condition of conditions) {
      if (isConflict(await put(url, condition, text, signal))) continue;
      throw new Error(
        `it ignores the header ${Object.keys(condition).join()} of conditional writes; use another storage`,
      );
    }
    honoursConditions = true;
  };

  return {
    async read(signal) {
      const answer = await send("GET", objectUrl, {}, undefined, signal);
      if (answer.status === 404 && errorCodeIn(answer.text) !== "NoSuchBucket") return undefined;
      if (answer.status !== 200) throw responseError(answer);
      return { record: parseRecord(answer.text, "the object"), origin: etagOf(answer) };
    },
    async write(record, replaced, signal) {
      await tryConditions(signal);
      const condition: WriteCondition =
        replaced === undefined ? { "If-None-Match": "*" } : { "If-Match": replaced.origin };
      const answer = await put(objectUrl, condition, JSON.stringify(record), signal);
      return isConflict(answer) ? undefined : { record, origin: etagOf(answer) };
    },
  };
}

/** Sends signed requests. Each is one attempt of a call. */
function s3Sender(
  { region }: S3Location,
  credentials: Credentials,
  tls: RenewedTlsFiles,
  ttlMs: number,
  { clock, fetch }: Pick<System, "fetch" | "clock">,
): Send {
  const timeoutMs = Math.floor(leaseCallTimeoutMs(ttlMs) / 2);
  return async (method, url, headers, text, outer) => {
    const body = text === undefined ? {} : { body: text };
    const sha256 = createHash("sha256")
      .update(text ?? "")
      .digest("hex");
    const signer = new AwsV4Signer({
      ...credentials,
      method,
      url,
      headers: { ...headers, "X-Amz-Content-Sha256": sha256 },
      ...body,
      service: "s3",
      region,
      datetime: new Date(clock.wallMs()).toISOString().replaceAll(/[:-]|\.\d{3}/g, ""),
    });
    const signed = await signer.sign();
    return await withAttemptTimeout(clock, timeoutMs, outer, async (signal) => {
      const response = await fetch(url, {
        method,
        headers: signed.headers,
        signal,
        redirect: "error",
        ...body,
        ...(await tls.fetchOptions()),
      });
      const etag = response.headers.get("ETag") ?? undefined;
      return { status: response.status, etag, text: await readBoundedText(response) };
    });
  };
}

/** The bucket is in the path if the storage has its own address, or the name would not match AWS's certificate. */
function urlOf({ bucket, key, endpoint, region }: S3Location): string {
  if (endpoint !== undefined) return `${endpoint}/${bucket}/${key}`;
  const domain = `s3.${region}.amazonaws.com`;
  return bucket.includes(".") ? `https://${domain}/${bucket}/${key}` : `https://${bucket}.${domain}/${key}`;
}

/** Another node was first: 404 if the object was deleted meanwhile, 409 if another write is in progress. */
function isConflict({ status, text }: S3Response): boolean {
  return status === 412 || status === 409 || (status === 404 && errorCodeIn(text) !== "NoSuchBucket");
}

function etagOf({ etag }: S3Response): string {
  if (etag === undefined) throw new Error("an answer without an ETag");
  return etag;
}

function responseError({ status, text }: S3Response): Error {
  return new Error(`${status} ${errorCodeIn(text) ?? "no reason given"}`);
}

function errorCodeIn(text: string): string | undefined {
  return /<Code>(\w{1,100})<\/Code>/.exec(text)?.[1];
}
