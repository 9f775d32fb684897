/** Reads and checks the PEM files for TLS that settings and options name. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { AppError } from "../util/app-error.ts";
import { must } from "../util/assert.ts";
import { fileProblem, reasonOf } from "../util/reason.ts";
import { readRegularFile, readRegularFileSync, type RegularFile } from "../util/regular-file.ts";
import { requireValid, validityOf } from "./certificate-validity.ts";

/** Paths of PEM files, or their texts. */
export interface TlsFiles {
  /** The authority that is trusted instead of the system's. */
  readonly ca: string | undefined;
  /** The certificate that a node presents, and its private key. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** Paths of PEM files, by setting or option. */
export type PemPaths = Readonly<Record<string, string | undefined>>;

interface PemFile {
  readonly path: string;
  /** AppError `conflict` if the file could not be read. */
  readonly content: RegularFile | AppError;
}

/** What the files contain, by setting. Settings without a path are not in it. */
export type PemFiles = ReadonlyMap<string, PemFile>;

/** Four times the authorities of a system. */
const bytesMax = 1024 * 1024;

/** Reads the files at a start, or for a command. One that cannot be read is refused where its content is wanted. */
export function readPemFiles(paths: PemPaths): PemFiles {
  return new Map(
    named(paths).map(([setting, path]) => {
      let content: PemFile["content"];
      try {
        content = readRegularFileSync(path, bytesMax);
      } catch (error) {
        content = unreadable(setting, path, error);
      }
      return [setting, { path, content }];
    }),
  );
}

/** The same while a node runs: it does not wait for the file system. Never rejects. */
export async function readPemFilesAgain(paths: PemPaths): Promise<PemFiles> {
  const read = named(paths).map(async ([setting, path]): Promise<[string, PemFile]> => {
    const content = readRegularFile(path, bytesMax).catch((error: unknown) => unreadable(setting, path, error));
    return [setting, { path, content: await content }];
  });
  return new Map(await Promise.all(read));
}

const named = (paths: PemPaths): [setting: string, path: string][] =>
  Object.entries(paths).flatMap(([setting, path]): [string, string][] => (path === undefined ? [] : [[setting, path]]));

const refusal = (setting: string, path: string, problem: string, cause: unknown): AppError =>
  new AppError("conflict", `the file \`${path}\` of \`${setting}\` ${problem}`, { cause });

function unreadable(setting: string, path: string, error: unknown): AppError {
  const problem = `can't be read: ${fileProblem(error)}; name another, or make it readable for this process`;
  return refusal(setting, path, problem, error);
}

/** Equal for equal files. */
export function identityOf(files: PemFiles): string {
  return [...files.values()]
    .map(({ content }) => ("bytes" in content ? content.bytes.toString() : content.message))
    .join("\0");
}

/**
 * What makes connections with these files fail, which is no reason not to start: a node answers without a broker, too.
 * Undefined if the certificate is valid now, or there is none. Throws as `tlsFilesIn` does.
 */
export function describeInvalid(owner: "broker" | "failover", files: PemFiles, nowMs: number): string | undefined {
  const cert = parseFile(files, `${owner}Cert`, certificate);
  if (cert === undefined) return undefined;
  try {
    requireValid(cert.setting, cert.path, validityOf(cert.parsed), nowMs);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

/** `owner` is the prefix of the settings. AppError `conflict` names the setting whose file cannot be read or used. */
export function tlsFilesIn(owner: "broker" | "failover", files: PemFiles): TlsFiles {
  const ca = parseFile(files, `${owner}Ca`, certificates);
  const cert = parseFile(files, `${owner}Cert`, certificate);
  const key = parseFile(files, `${owner}Key`, privateKey);
  if (cert !== undefined && key !== undefined) requirePair(cert, key);
  return { ca: ca?.text, cert: cert?.text, key: key?.text };
}

/** The text of the authorities in the file of a setting or an option. AppError `conflict` if it cannot be read or used. */
export function authorityIn(files: PemFiles, setting: string): string | undefined {
  return parseFile(files, setting, certificates)?.text;
}

/** All certificates in the file of a setting, in their order. AppError `conflict` if it cannot be read or used. */
export function certificatesIn(
  files: PemFiles,
  setting: string,
): InFile<readonly [X509Certificate, ...X509Certificate[]]> | undefined {
  const file = parseFile(files, setting, certificates);
  if (file === undefined) return undefined;
  const [first, ...more] = file.parsed;
  return { ...file, parsed: [must(first), ...more] };
}

/** The private key of a certificate. AppError `conflict` if it cannot be read or used, or is the key of another one. */
export function privateKeyOf(files: PemFiles, setting: string, cert: InFile<X509Certificate>): string {
  const key = must(parseFile(files, setting, privateKey));
  requirePair(cert, key);
  try {
    createSecureContext({ cert: cert.text, key: key.text });
  } catch (cause) {
    const problem = `the certificate in the file \`${cert.path}\` of \`${cert.setting}\` can't be used for TLS`;
    throw new AppError("conflict", `${problem} with its key: ${reasonOf(cause)}`, { cause });
  }
  return key.text;
}

interface InFile<T> {
  readonly setting: string;
  readonly path: string;
  readonly text: string;
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

function parseFile<T>(
  files: PemFiles,
  setting: string,
  { what, parse }: { readonly what: string; readonly parse: (text: string) => T },
): InFile<T> | undefined {
  const file = files.get(setting);
  if (file === undefined) return undefined;
  const { path, content } = file;
  if (content instanceof AppError) throw content;
  try {
    const text = content.bytes.toString();
    return { setting, path, text, parsed: parse(text) };
  } catch (cause) {
    throw refusal(setting, path, `holds no ${what}`, cause);
  }
}
