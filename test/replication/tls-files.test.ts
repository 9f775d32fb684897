/** Files with certificate authorities: what TLS accepts is accepted, and nothing else. */
import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renewedAuthority } from "../../src/replication/renewed-tls-files.ts";
import { authorityIn, readPemFiles } from "../../src/replication/tls-files.ts";
import { makeAuthority } from "../e2e/certificates.ts";
import { findProgram } from "../e2e/program.ts";
import { withDirectory } from "./cluster.ts";

const missing = findProgram("openssl") === null;

test.skipIf(missing)("a file of authorities can have several, with text around them, and each has to be whole", () =>
  withDirectory(async (directory) => {
    const [first, second] = ["first", "second"].map((name) =>
      readFileSync(makeAuthority(directory, name).cert, "utf8"),
    );
    const file = join(directory, "ca.crt");
    const read = (text: string): string | undefined => {
      writeFileSync(file, text);
      return authorityIn(readPemFiles({ brokerCa: file }), "brokerCa");
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
    const files = renewedAuthority("brokerCa", file);
    expect((await files.read()).ca).toBe(`${first}`);
    const options = await files.fetchOptions();
    writeFileSync(file, `${second}${half}`);
    expect((await files.read()).ca).toBe(`${first}`);
    expect(await files.fetchOptions()).toBe(options);
    rmSync(file);
    execFileSync("mkfifo", [file]);
    expect((await files.read()).ca).toBe(`${first}`);
    rmSync(file);
    writeFileSync(file, `${second}`);
    expect((await files.read()).ca).toBe(`${second}`);
    expect(await files.fetchOptions()).not.toBe(options);
  }),
);
