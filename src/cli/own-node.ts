/**
 * A request to the node of this machine over TLS, at an address that its certificate does not name. `fetch` would refuse
 * the certificate. This request has no secret, so that it may accept any, and says whether it is that of the file.
 */
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { readRegularFileSync } from "../util/regular-file.ts";

interface Answer {
  readonly status: number;
  readonly body: string;
  /** Whether the node presents the certificate of the file. Undefined if that is unknown or cannot be read. */
  readonly isOwn: boolean | undefined;
}

const answerBytesMax = 1024 * 1024;
const certificateBytesMax = 1024 * 1024;

/** `cert` is the path of the file, if it is known. Rejects if there is no answer in time. */
export function requestOwnNode(
  url: string,
  path: string,
  cert: string | undefined,
  timeoutMs: number,
): Promise<Answer> {
  const { hostname, host, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: Number(port || 443),
      rejectUnauthorized: false,
    });
    const timer = setTimeout(() => socket.destroy(new Error("it does not answer in time")), timeoutMs);
    const chunks: Buffer[] = [];
    let presented: Buffer | undefined;
    socket.once("secureConnect", () => {
      presented = socket.getPeerCertificate().raw;
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    });
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const answer = parse(Buffer.concat(chunks));
      if (answer !== undefined) {
        resolve({ ...answer, isOwn: isCertificate(presented, cert) });
        socket.destroy();
      } else if (chunks.reduce((sum, { length }) => sum + length, 0) > answerBytesMax)
        socket.destroy(new Error("its answer is too long"));
    });
    socket.once("error", reject);
    // Without effect after an answer or an error.
    socket.once("close", () => {
      clearTimeout(timer);
      reject(Object.assign(new Error("it has closed the connection"), { code: "ECONNRESET" }));
    });
  });
}

/** Undefined until the answer is complete. A node sends the length of its health. */
function parse(bytes: Buffer): Pick<Answer, "status" | "body"> | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const head = bytes.toString("latin1", 0, end);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
  const body = bytes.subarray(end + 4);
  return body.length < length ? undefined : { status, body: body.toString("utf8", 0, length) };
}

/** Undefined if the file is unknown, or cannot be read by this user. */
function isCertificate(presented: Buffer | undefined, path: string | undefined): boolean | undefined {
  if (path === undefined) return undefined;
  try {
    return (
      presented !== undefined &&
      new X509Certificate(readRegularFileSync(path, certificateBytesMax).bytes).raw.equals(presented)
    );
  } catch {
    return undefined;
  }
}
