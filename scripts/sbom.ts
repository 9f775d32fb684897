/**
 * The software bill of materials of one binary, in the format CycloneDX 1.6 (https://cyclonedx.org): everything inside
 * with its version and license. The same commit and binary give the same bytes.
 */
import { createHash } from "node:crypto";
import type { LicensedComponent } from "../src/cli/licenses.ts";

export interface SbomOptions {
  /** The first one is Ostiary. */
  readonly components: readonly LicensedComponent[];
  /** The name of the file that it describes. */
  readonly file: string;
  /** The SHA-256 of that file, in hexadecimal. */
  readonly sha256: string;
  readonly commit: string;
  /** When the commit was made, in seconds since 1970. */
  readonly commitSeconds: number;
}

/** Returns JSON. */
export function sbomOf({ components: [own, ...others], file, sha256, commit, commitSeconds }: SbomOptions): string {
  if (own === undefined) throw new Error("there are no components");
  const main = { ...componentOf(own), type: "application", hashes: [{ alg: "SHA-256", content: sha256 }] };
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(`${commit} ${file} ${sha256}`)}`,
    version: 1,
    metadata: {
      timestamp: new Date(commitSeconds * 1000).toISOString(),
      tools: { components: [{ type: "application", name: "scripts/release", group: "ostiary" }] },
      component: main,
      properties: [
        { name: "ostiary:file", value: file },
        { name: "ostiary:commit", value: commit },
      ],
    },
    components: others.map(componentOf),
    dependencies: [{ ref: own.purl, dependsOn: others.map(({ purl }) => purl) }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function componentOf({ name, version, purl, license, sha512, partOf }: LicensedComponent) {
  return {
    type: partOf === "runtime" && name === "Bun" ? "platform" : "library",
    "bom-ref": purl,
    name,
    ...(version === null ? {} : { version }),
    ...(sha512 === null ? {} : { hashes: [{ alg: "SHA-512", content: sha512 }] }),
    licenses: / (?:AND|OR|WITH) /.test(license) ? [{ expression: license }] : [{ license: { id: license } }],
    purl,
  };
}

/** A UUID of version 8, of a hash instead of random bits (RFC 9562). */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  const variant = ((Number.parseInt(hex[16] ?? "0", 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
