/** Reads and checks the PEM files for TLS that settings name, at the start. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { AppError } from "../util/app-error.ts";
import { fileProblem } from "../util/reason.ts";

/** Paths of PEM files, or their texts. */
export interface TlsFiles {
  /** The authority that is trusted instead of the system's. */
  readonly ca: string | undefined;
  /** The certificate that a node presents, and its private key. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** `owner` is the prefix of the settings. AppError `conflict` names the setting whose file cannot be read or used. */
export function readTlsFiles(owner: "broker" | "failover", paths: TlsFiles): TlsFiles {
  const ca = readPem(`${owner}Ca`, paths.ca, certificate);
  const cert = readPem(`${owner}Cert`, paths.cert, certificate);
  const key = readPem(`${owner}Key`, paths.key, privateKey);
  if (cert !== undefined && key !== undefined && !cert.parsed.checkPrivateKey(key.parsed)) {
    throw new AppError(
      "conflict",
      `the key \`${paths.key}\` of \`${owner}Key\` does not belong to the certificate \`${paths.cert}\` of \`${owner}Cert\``,
    );
  }
  return { ca: ca?.text, cert: cert?.text, key: key?.text };
}

/** The text of the certificate authority that a setting names. AppError `conflict` if it cannot be read or used. */
export function readAuthority(setting: string, path: string | undefined): string | undefined {
  return readPem(setting, path, certificate)?.text;
}

const certificate = { what: "certificate in PEM form", parse: (text: string) => new X509Certificate(text) };
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
