/** Reads and checks the PEM files for TLS that settings and options name. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { fileProblem, reasonOf } from "../util/reason.ts";
import { requireValid, validityOf } from "./certificate-validity.ts";

/** Paths of PEM files, or their texts. */
export interface TlsFiles {
  /** The authority that is trusted instead of the system's. */
  readonly ca: string | undefined;
  /** The certificate that a node presents, and its private key. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/**
 * What makes connections with these files fail, which is no reason not to start: a node answers without a broker, too.
 * Undefined if the certificate is valid now, or there is none. Throws as `readTlsFiles` does.
 */
export function describeInvalid(
  owner: "broker" | "failover",
  { cert: path }: TlsFiles,
  nowMs: number,
): string | undefined {
  const setting = `${owner}Cert`;
  const cert = readPem(setting, path, certificate);
  if (cert === undefined || path === undefined) return undefined;
  try {
    requireValid(setting, path, validityOf(cert.parsed), nowMs);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

/** `owner` is the prefix of the settings. AppError `conflict` names the setting whose file cannot be read or used. */
export function readTlsFiles(owner: "broker" | "failover", paths: TlsFiles): TlsFiles {
  const ca = readPem(`${owner}Ca`, paths.ca, certificates);
  const cert = readPem(`${owner}Cert`, paths.cert, certificate);
  const key = readPem(`${owner}Key`, paths.key, privateKey);
  if (cert !== undefined && key !== undefined)
    requirePair(
      { setting: `${owner}Cert`, path: paths.cert, parsed: cert.parsed },
      { setting: `${owner}Key`, path: paths.key, parsed: key.parsed },
    );
  return { ca: ca?.text, cert: cert?.text, key: key?.text };
}

/** The text of the certificate authority that a setting names. AppError `conflict` if it cannot be read or used. */
export function readAuthority(setting: string, path: string | undefined): string | undefined {
  return readPem(setting, path, certificates)?.text;
}

interface Certificates {
  readonly text: string;
  /** At least one, in the order of the file. */
  readonly parsed: readonly [X509Certificate, ...X509Certificate[]];
}

/** All certificates in the file of a setting. AppError `conflict` if it cannot be read or used. */
export function certificatesIn(setting: string, path: string): Certificates {
  const { text, parsed } = must(readPem(setting, path, certificates));
  const [first, ...more] = parsed;
  return { text, parsed: [must(first), ...more] };
}

/** The private key of a certificate. AppError `conflict` if it cannot be read or used, or is the key of another one. */
export function privateKeyOf(
  setting: string,
  path: string,
  cert: { readonly setting: string; readonly path: string; readonly text: string; readonly parsed: X509Certificate },
): string {
  const { text, parsed } = must(readPem(setting, path, privateKey));
  requirePair(cert, { setting, path, parsed });
  try {
    createSecureContext({ cert: cert.text, key: text });
  } catch (cause) {
    const problem = `the certificate in the file \`${cert.path}\` of \`${cert.setting}\` can't be used for TLS`;
    throw new AppError("conflict", `${problem} with its key: ${reasonOf(cause)}`, { cause });
  }
  return text;
}

interface InFile<T> {
  readonly setting: string;
  readonly path: string | undefined;
  readonly parsed: T;
}

function requirePair(cert: InFile<X509Certificate>, key: InFile<KeyObject>): void {
  if (cert.parsed.checkPrivateKey(key.parsed)) return;
  throw new AppError(
    "conflict",
    `the key \`${key.path}\` of \`${key.setting}\` does not belong to the certificate \`${cert.path}\` of \`${cert.setting}\``,
  );
}

/** Text before a certificate can be anything, such as its name or another certificate as a comment. */
const beginning = /^(?=-----BEGIN (?:X509 )?CERTIFICATE-----)/m;
const certificate = { what: "certificate in PEM form", parse: (text: string) => new X509Certificate(text) };
const certificates = {
  what: certificate.what,
  parse(text: string): readonly X509Certificate[] {
    // The part after a beginning has the rest of a certificate, also of one that is not complete.
    const blocks = text.split(beginning).filter((block) => beginning.test(block));
    return (blocks.length === 0 ? [text] : blocks).map((block) => new X509Certificate(block));
  },
};
const privateKey = { what: "unencrypted private key in PEM form", parse: (text: string) => createPrivateKey(text) };

function readPem<T>(
  setting: string,
  path: string | undefined,
  { what, parse }: { readonly what: string; readonly parse: (text: string) => T },
): { readonly text: string; readonly parsed: T } | undefined {
  if (path === undefined) return undefined;
  const refuse = (problem: string, cause: unknown): AppError =>
    new AppError("conflict", `the file \`${path}\` of \`${setting}\` ${problem}`, { cause });
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw refuse(`can't be read: ${fileProblem(cause)}; name another, or make it readable for this process`, cause);
  }
  try {
    return { text, parsed: parse(text) };
  } catch (cause) {
    throw refuse(`holds no ${what}`, cause);
  }
}
