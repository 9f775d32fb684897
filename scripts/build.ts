/**
 * Builds the web console, `dist/ostiary` with the console inside, and the client package for applications. With a target
 * such as `linux-arm64` it builds no client package, but `dist/ostiary-linux-arm64`; Bun downloads its program for that
 * target from npm.
 */
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { buildBinary } from "./build-binary.ts";
import { buildTargets } from "./build-targets.ts";
import { buildClientPackage } from "./client-package.ts";

const list = buildTargets.map(
  ({ name, platform, tested }) => `    ${name.padEnd(20)}${platform} (tests: ${tested ?? "none"})`,
);

const usage = `scripts/build [target]

  target   build only dist/ostiary-<target>, for that platform:
${list.join("\n")}
  --help   show this`;

const [name] = process.argv.slice(2);
if (name?.startsWith("-") === true) {
  console.log(usage);
  process.exit(name === "--help" ? 0 : 2);
}
if (name === "deno") {
  console.error(
    "there is no binary for Deno: `deno compile` downloads a part of Deno from a host that is no npm registry; run scripts/ostiary-deno instead",
  );
  process.exit(1);
}
const target = buildTargets.find((each) => each.name === name);
if (name !== undefined && target === undefined) {
  console.error(`there is no target \`${name}\`\n\n${usage}`);
  process.exit(2);
}
const file = target === undefined ? "ostiary" : `ostiary-${target.name}${target.suffix}`;
const output = join(resolve(import.meta.dirname, ".."), "dist", file);

const begin = performance.now();
try {
  await buildBinary(target === undefined ? { output } : { output, target: target.name });
  if (target === undefined) await buildClientPackage();
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
const megabytes = (statSync(output).size / 1e6).toFixed(1);
const seconds = ((performance.now() - begin) / 1000).toFixed(1);
console.log(`dist/${file}: ${megabytes} MB in ${seconds} s`);
