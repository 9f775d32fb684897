/** Certificates for tests, created with openssl: authorities and the certificates that they issue. */
import * as Bun from "bun";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { programPath } from "./program.ts";

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /**
   * A certificate of a client with its common name, or of a server with the host names that clients can use. By default
   * it is valid for two days; otherwise between two times such as `20200101000000Z`.
   */
  issue(name: string, hosts?: readonly string[], validity?: readonly [from: string, to: string]): Certificate;
}

const keyOptions = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export function makeAuthority(directory: string, name: string): Authority {
  const file = (what: string, ending: string): string => join(directory, `${name}-${what}.${ending}`);
  const own = { cert: file("ca", "crt"), key: file("ca", "key") };
  openssl("req", "-x509", ...keyOptions, "-keyout", own.key, "-out", own.cert, "-days", "2", "-subj", `/CN=${name}`);
  return {
    ...own,
    issue(commonName, hosts = [], validity) {
      const [cert, key] = [file(commonName, "crt"), file(commonName, "key")];
      const [request, extensions] = [file(commonName, "csr"), file(commonName, "ext")];
      const names = hosts.length === 0 ? "extendedKeyUsage=clientAuth" : `subjectAltName=${hosts.join(",")}`;
      writeFileSync(extensions, names);
      openssl("req", "-new", ...keyOptions, "-keyout", key, "-out", request, "-subj", `/CN=${commonName}`);
      const authority = ["-CA", own.cert, "-CAkey", own.key, "-CAcreateserial", "-extfile", extensions];
      const dates = validity === undefined ? ["-days", "2"] : ["-not_before", validity[0], "-not_after", validity[1]];
      openssl("x509", "-req", "-in", request, ...authority, ...dates, "-out", cert);
      return { cert, key };
    },
  };
}

function openssl(...parameters: readonly string[]): void {
  const { success, stderr } = Bun.spawnSync([programPath("openssl"), ...parameters]);
  if (!success) throw new Error(`openssl ${parameters[0]} failed: ${stderr.toString()}`);
}
