/** What a node shows to external brokers over TLS, and whom it trusts there: the files that the settings name, read and checked at start. */
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Config } from "../../config/config.ts";
import { AppError } from "../../util/app-error.ts";

/** PEM texts. */
export interface BrokerTls {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** AppError `conflict` names the setting whose file can't be read or used. */
export function readTls({ brokerCa, brokerCert, brokerKey }: Config): BrokerTls {
  const ca = readPem("brokerCa", brokerCa, certificate);
  const cert = readPem("brokerCert", brokerCert, certificate);
  const key = readPem("brokerKey", brokerKey, privateKey);
  if (cert !== undefined && key !== undefined && !cert.parsed.checkPrivateKey(key.parsed)) {
    throw new AppError(
      "conflict",
      `the key \`${brokerKey}\` of \`brokerKey\` does not belong to the certificate \`${brokerCert}\` of \`brokerCert\``,
    );
  }
  return { ca: ca?.text, cert: cert?.text, key: key?.text };
}

interface Kind<T> {
  readonly what: string;
  readonly parse: (text: string) => T;
}

const certificate: Kind<X509Certificate> = {
  what: "certificate in PEM form",
  parse: (text) => new X509Certificate(text),
};
const privateKey: Kind<KeyObject> = { what: "unencrypted private key in PEM form", parse: createPrivateKey };

interface Pem<T> {
  readonly text: string;
  readonly parsed: T;
}

function readPem<T>(setting: string, path: string | undefined, { what, parse }: Kind<T>): Pem<T> | undefined {
  if (path === undefined) return undefined;
  const refuse = (problem: string, cause: unknown): AppError =>
    new AppError("conflict", `the file \`${path}\` of \`${setting}\` ${problem}`, { cause });
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw refuse(`can't be read (${(cause as NodeJS.ErrnoException).code ?? "unknown reason"})`, cause);
  }
  try {
    return { text, parsed: parse(text) };
  } catch (cause) {
    throw refuse(`holds no ${what}`, cause);
  }
}
