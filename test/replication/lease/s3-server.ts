/**
 * A test server with the part of the S3 API that a lease needs: GET and PUT of an object, strongly consistent, with
 * conditional writes (412 if the condition does not hold), as AWS documents them. It computes the signature (version 4)
 * of each request with `node:crypto`, and refuses a request with another one.
 */
import * as Bun from "bun";
import { createHash, createHmac } from "node:crypto";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Server {
  readonly port: number;
  /** By bucket and key. */
  readonly objects: ReadonlyMap<string, string>;
  /** Headers of conditional writes that it ignores, as some storages do. */
  ignored: readonly string[];
  /** Answers that it gives to the next PUT requests instead of writing. */
  readonly nextPuts: { status: number; code: string }[];
  stop(): Promise<void>;
}

export function startS3(credentials: S3Credentials, bucket: string): S3Server {
  const objects = new Map<string, string>();
  const answer = async (request: Request): Promise<Response> => {
    const body = await request.text();
    const problem = signatureProblem(request, body, credentials);
    if (problem !== undefined) return refusal(403, problem);
    const place = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (!place.startsWith(`${bucket}/`)) return refusal(404, "NoSuchBucket");
    const current = objects.get(place);
    if (request.method === "GET") {
      if (current === undefined) return refusal(404, "NoSuchKey");
      return new Response(current, { headers: { ETag: etagOf(current) } });
    }
    const instead = result.nextPuts.shift();
    if (instead !== undefined) return refusal(instead.status, instead.code);
    const condition = (name: string): string | null =>
      result.ignored.includes(name) ? null : request.headers.get(name);
    if (condition("If-None-Match") === "*" && current !== undefined) return refusal(412, "PreconditionFailed");
    const match = condition("If-Match");
    if (match !== null && current === undefined) return refusal(404, "NoSuchKey");
    if (match !== null && match !== etagOf(current ?? "")) return refusal(412, "PreconditionFailed");
    objects.set(place, body);
    return new Response(null, { headers: { ETag: etagOf(body) } });
  };
  const listener = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  const result: S3Server = {
    port: listener.port ?? 0,
    objects,
    ignored: [],
    nextPuts: [],
    stop: () => listener.stop(true),
  };
  return result;
}

const authorization = new RegExp(
  "^AWS4-HMAC-SHA256 Credential=([^/]+)/([0-9]{8})/([^/]+)/s3/aws4_request, " +
    "SignedHeaders=([^,]+), Signature=([0-9a-f]+)$",
);

/** AWS Signature Version 4, by the section "Create a signed AWS API request" of the IAM user guide. */
function signatureProblem(request: Request, body: string, credentials: S3Credentials): string | undefined {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const header = (name: string): string => request.headers.get(name) ?? "";
  const parsed = authorization.exec(header("Authorization"));
  if (parsed === null) return "AccessDenied";
  const [, key, day = "", region = "", signedHeaders = "", signature] = parsed;
  if (key !== accessKeyId) return "InvalidAccessKeyId";
  if ((request.headers.get("X-Amz-Security-Token") ?? undefined) !== sessionToken) return "InvalidToken";
  const needed = ["host", "x-amz-content-sha256", "x-amz-date", "if-match", "if-none-match"];
  const names = signedHeaders.split(";");
  if (needed.some((name) => request.headers.has(name) && !names.includes(name))) return "AccessDenied";
  const payloadHash = createHash("sha256").update(body).digest("hex");
  if (header("X-Amz-Content-Sha256") !== payloadHash) return "XAmzContentSHA256Mismatch";
  const { pathname } = new URL(request.url);
  const headers = names.map((name) => `${name}:${header(name).trim()}\n`).join("");
  const canonical = [request.method, pathname, "", headers, signedHeaders, payloadHash].join("\n");
  const scope = `${day}/${region}/s3/aws4_request`;
  const hash = createHash("sha256").update(canonical).digest("hex");
  const text = ["AWS4-HMAC-SHA256", header("X-Amz-Date"), scope, hash].join("\n");
  const hmac = (secret: string | Buffer, value: string): Buffer => createHmac("sha256", secret).update(value).digest();
  const signing = [day, region, "s3", "aws4_request"].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  return hmac(signing, text).toString("hex") === signature ? undefined : "SignatureDoesNotMatch";
}

function etagOf(text: string): string {
  return `"${createHash("md5").update(text).digest("hex")}"`;
}

function refusal(status: number, code: string): Response {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>refused</Message></Error>`;
  return new Response(body, { status, headers: { "Content-Type": "application/xml" } });
}
