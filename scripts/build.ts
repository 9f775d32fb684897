/**
 * Builds the web console, `dist/ostiary` with the console inside, and the client package for applications. With a target
 * such as `linux-arm64` it builds no client package, but `dist/ostiary-linux-arm64`; Bun downloads its program for that
 * target from npm.
 */
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildBinary } from "./build-binary.ts";
import { buildClientPackage } from "./client-package.ts";

const usage = `scripts/build [target]

  target   such as linux-arm64: only dist/ostiary-linux-arm64, for that platform
  --help   show this`;

const [target] = process.argv.slice(2);
if (target?.startsWith("-") === true) {
  console.log(usage);
  process.exit(target === "--help" ? 0 : 2);
}
if (target === "deno") {
  console.error(
    "there is no binary for Deno: `deno compile` downloads a part of Deno from a host that is no npm registry; run scripts/ostiary-deno instead",
  );
  process.exit(1);
}
const name = target === undefined ? "ostiary" : `ostiary-${target}`;
const output = join(resolve(import.meta.dirname, ".."), "dist", name);

const begin = performance.now();
try {
  await buildBinary(target === undefined ? { output } : { output, target });
  if (target === undefined) await buildClientPackage();
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
const megabytes = (statSync(output).size / 1e6).toFixed(1);
const seconds = ((performance.now() - begin) / 1000).toFixed(1);
console.log(`dist/${name}: ${megabytes} MB in ${seconds} s`);
