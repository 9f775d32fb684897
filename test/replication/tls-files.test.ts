/** Files with certificate authorities: what TLS accepts is accepted, and nothing else. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RenewedTlsFiles } from "../../src/replication/renewed-tls-files.ts";
import { readAuthority } from "../../src/replication/tls-files.ts";
import { makeAuthority } from "../e2e/certificates.ts";
import { findProgram } from "../e2e/program.ts";
import { withDirectory } from "./cluster.ts";

const missing = findProgram("openssl") === null;

test.skipIf(missing)("a file of authorities can have several, with text around them, and each has to be whole", () =>
  withDirectory((directory) => {
    const [first, second] = ["first", "second"].map((name) =>
      readFileSync(makeAuthority(directory, name).cert, "utf8"),
    );
    const file = join(directory, "ca.crt");
    const read = (text: string): string | undefined => {
      writeFileSync(file, text);
      return readAuthority("brokerCa", file);
    };
    const commented = (text = ""): string => text.replaceAll(/^/gm, "# ");
    for (const text of [
      `${first}${second}`,
      `the first: -----BEGIN CERTIFICATE-----\n${first}\ntext\n${second}`,
      `${commented(first)}\n${second}`,
      `${first}`.replaceAll("\n", "\r\n"),
      `${first}`.replaceAll("CERTIFICATE", "X509 CERTIFICATE"),
    ])
      expect(read(text)).toBe(text);
    const half = String(second).slice(0, 200);
    for (const text of ["", "text", `${half}`, `${first}${half}`, `\u{feff}${first}`, `${commented(first)}`])
      expect(() => read(text)).toThrow("holds no certificate in PEM form");

    // A renewed file that is cut off does not replace the earlier one.
    read(`${first}`);
    const texts = () => ({ ca: readAuthority("brokerCa", file), cert: undefined, key: undefined });
    const files = new RenewedTlsFiles(texts);
    expect(files.read().ca).toBe(`${first}`);
    const options = files.fetchOptions();
    writeFileSync(file, `${second}${half}`);
    expect(files.read().ca).toBe(`${first}`);
    expect(files.fetchOptions()).toBe(options);
    writeFileSync(file, `${second}`);
    expect(files.read().ca).toBe(`${second}`);
    expect(files.fetchOptions()).not.toBe(options);
    return Promise.resolve();
  }),
);
