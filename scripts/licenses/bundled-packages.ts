/**
 * The npm packages of which the bundler took at least one file into the program or into its web console, with their
 * licenses. Packages that only tests and scripts use are not among them.
 */
import * as Bun from "bun";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { LicensedComponent } from "../../src/cli/licenses.ts";
import { workerEntries } from "../worker-entries.ts";
import { idsOf, standardText } from "./standard-texts.ts";

const root = resolve(import.meta.dirname, "../..");

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string | { readonly type?: string };
  readonly author?: string | { readonly name?: string };
}

/** Sorted by name and version. Throws an error that names each package without a known license. */
export async function bundledPackages(): Promise<LicensedComponent[]> {
  const main = ["main.ts", ...workerEntries].map((entry) => join(root, "src", entry));
  const inputs = [
    ...(await bundledFiles(main, "bun")),
    ...(await bundledFiles([join(root, "src", "console", "ui", "main.tsx")], "browser")),
  ];
  return componentsIn(inputs.flatMap((path) => packageFolder(path) ?? []));
}

/** The packages in these folders, and those inside of them. */
export function componentsIn(packageFolders: Iterable<string>): LicensedComponent[] {
  const folders = new Set(packageFolders);
  const digests = registryDigests(readFileSync(join(root, "bun.lock"), "utf8"));
  const components = [...folders].map((folder) => componentOf(folder, digests));
  // Two copies of one version are one component.
  const unique = new Map(components.map((component) => [component.purl, component]));
  return [...unique.values()].toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
}

/** The files that contribute to the output of the bundler, which names them relative to the working directory. */
async function bundledFiles(entrypoints: string[], target: "bun" | "browser"): Promise<string[]> {
  const { metafile } = await Bun.build({ entrypoints, target, format: "esm", minify: true, metafile: true });
  if (metafile === undefined) throw new Error("the bundler says nothing of its inputs");
  return Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [resolve(path)] : [])),
  );
}

/** `node_modules/a/node_modules/@b/c` of a file in it. */
function packageFolder(path: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path.replaceAll("\\", "/"))?.[0];
}

function componentOf(folder: string, digests: ReadonlyMap<string, string>): LicensedComponent {
  const path = resolve(root, folder);
  const manifest = JSON.parse(readFileSync(join(path, "package.json"), "utf8")) as Manifest;
  const { name, version } = manifest;
  if (name === undefined || version === undefined) throw new Error(`${folder} has no name and version`);
  const license = licenseOf(manifest);
  return {
    name,
    version,
    partOf: "program",
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
    license,
    text: licenseFiles(path) ?? standardText(license, authorOf(manifest), name),
    sha512: digests.get(`${name}@${version}`) ?? null,
  };
}

/** Throws an error if the package has no license, or one that SPDX does not know. */
export function licenseOf({ name, license }: Manifest): string {
  const expression = (typeof license === "object" ? license.type : license) ?? "";
  idsOf(expression, `the package ${name}`);
  return expression;
}

function authorOf({ name, author }: Manifest): string {
  const text = (typeof author === "object" ? author.name : author) ?? `the authors of ${name}`;
  return text.replace(/\s*<[^>]*>/, "");
}

function licenseFiles(folder: string): string | undefined {
  const names = readdirSync(folder).filter((name) => /^(?:licen[cs]e|copying|notice)(?:[.-]|$)/i.test(name));
  const files = names.toSorted().filter((name) => !/\.(?:js|ts|json)$/.test(name));
  const texts = files.map((name) => readFileSync(join(folder, name), "utf8").replaceAll("\r\n", "\n").trim());
  return texts.length === 0 ? undefined : texts.join("\n\n");
}

/** SHA-512 of each package in hexadecimal by `name@version`, from the lock file. */
export function registryDigests(lock: string): ReadonlyMap<string, string> {
  const lines = lock.matchAll(/^ {4}"[^"]+": \["([^"]+)".*"sha512-([^"]+)"\],?$/gm);
  return new Map(
    [...lines].map(([, id = "", digest = ""]) => [id, Buffer.from(digest, "base64").toString("hex")] as const),
  );
}

/** Ostiary itself. */
export function ownComponent(): LicensedComponent {
  const { name, version, license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Required<Manifest>;
  if (name === undefined || version === undefined || !existsSync(join(root, "LICENSE"))) throw new Error("no license");
  return {
    name,
    version,
    partOf: "program",
    purl: `pkg:generic/${name}@${version}`,
    license: licenseOf({ name, license }),
    text: readFileSync(join(root, "LICENSE"), "utf8").trim(),
    sha512: null,
  };
}
