/**
 * Runs the commands of a document. A block of `sh` that an output block (`text` or `json`) follows directly is run, and its output is compared with that
 * block. The commands of one document run in their order. They share a directory and a node, or two nodes if they ask `node-b`. A block after
 * "Save this as `name`" is written to that file.
 *
 * Ids, times and keys differ in each run, so they are replaced by placeholders on both sides. `…` in an output block stands for any text.
 */
import * as Bun from "bun";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { projectRoot } from "../../scripts/built-binary.ts";
import { freePort } from "../../scripts/node-process.ts";
import { startDevNode } from "../cli/dev-node.ts";
import type { Block, Document } from "./document.ts";

const examplePolicy = "scripts/example/policy.polar";
const outputs: ReadonlySet<string> = new Set(["text", "json"]);

export interface Run {
  readonly command: string;
  readonly output: Block;
  /** What the command printed. */
  readonly printed: string;
}

/** The blocks that are run, with the blocks that show their output. */
export function runnable({ blocks }: Document): { readonly command: Block; readonly output: Block }[] {
  return blocks.flatMap((output, index) => {
    const command = blocks[index - 1];
    const isOutput = outputs.has(output.language) && output.followsBlock;
    return command?.language === "sh" && isOutput ? [{ command, output }] : [];
  });
}

export async function runDocument(document: Document, binary: string): Promise<Run[]> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-manual-"));
  const commands = runnable(document);
  const isCluster = commands.some(({ command }) => command.text.includes(exampleEdge));
  const running: Running[] = [];
  try {
    const { key, names } = await (isCluster ? startCluster : startNode)(binary, directory, running);
    symlinkSync(join(projectRoot, "scripts"), join(directory, "scripts"));
    saveFiles(document, directory);
    const environment = {
      ...withoutSettings(process.env),
      PATH: `${dirname(binary)}:${process.env["PATH"] ?? ""}`,
      NO_COLOR: "1",
      OSO_URL: names.get(exampleUrl) ?? names.get(examplePrimary),
      OSO_AUTH: key,
    };
    const runs: Run[] = [];
    for (const { command, output } of commands) {
      const text = replaceAll(command.text, names);
      const shell = Bun.spawn(["bash", "-c", text], {
        cwd: directory,
        env: environment,
        stdout: "pipe",
        stderr: "pipe",
      });
      const [printed, errors] = await Promise.all([shell.stdout.text(), shell.stderr.text(), shell.exited]);
      const shown = new Map([...names].map(([name, real]) => [real, name]));
      runs.push({ command: command.text, output, printed: replaceAll((printed + errors).replaceAll("\r", ""), shown) });
    }
    return runs;
  } finally {
    await Promise.all(running.map((node) => node.stop()));
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Running {
  stop(): Promise<unknown>;
}

interface Started {
  readonly key: string;
  /** What documents call URLs and directories, and what they really are. */
  readonly names: ReadonlyMap<string, string>;
}

const [exampleUrl, exampleData] = ["http://127.0.0.1:8080", "/var/lib/ostiary"];
const [examplePrimary, exampleEdge] = ["http://node-a:8080", "http://node-b:8080"];

/** One development node with the example policy, in this process. */
async function startNode(_binary: string, directory: string, running: Running[]): Promise<Started> {
  const data = join(directory, "node");
  const node = await startDevNode([examplePolicy], { directory: projectRoot, data });
  running.push(node);
  const names = [
    [exampleUrl, node.url],
    [exampleData, data],
  ] as const;
  return { key: node.access.OSO_AUTH, names: new Map(names) };
}

/** A primary and an edge, which know each other. */
async function startCluster(binary: string, directory: string, running: Running[]): Promise<Started> {
  const key = "e_0123456789_admin_0123456789abcdef0123456789abcdef";
  const [primary, edge] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
  const environment = {
    ...withoutSettings(process.env),
    OSTIARY_NODE_KEY: "0123456789abcdef0123456789abcdef",
    OSTIARY_ADMIN_KEY: key,
    OSTIARY_ENVIRONMENT: "0123456789",
    OSTIARY_PEERS: `${primary},${edge}`,
    OSTIARY_MQTT_PORT: "0",
  };
  const start = async (name: string, url: string, ...flags: string[]): Promise<void> => {
    const words = [binary, "serve", ...flags, "--data", join(directory, name), "--port", new URL(url).port];
    const node = Bun.spawn(words, { env: environment, stdout: "ignore", stderr: "ignore" });
    running.push({
      stop() {
        node.kill();
        return node.exited;
      },
    });
    await untilReady(url);
  };
  await start("node-a", primary, "--role", "primary", "--node-id", "node-a");
  await start("node-b", edge, "--role", "edge", "--node-id", "node-b", "--primary", primary);
  const names = [
    [examplePrimary, primary],
    [exampleEdge, edge],
  ] as const;
  return { key, names: new Map(names) };
}

const readyWithinMs = 60_000;

async function untilReady(url: string): Promise<void> {
  const endMs = performance.now() + readyWithinMs;
  for (;;) {
    const response = await fetch(`${url}/readyz`).catch(() => undefined);
    const { state } = response?.ok === true ? ((await response.json()) as { readonly state: string }) : { state: "" };
    if (["PRIMARY", "LIVE"].includes(state)) return;
    if (performance.now() > endMs) throw new Error(`the node at ${url} is not ready`);
    await Bun.sleep(50);
  }
}

function replaceAll(text: string, names: ReadonlyMap<string, string>): string {
  return [...names].reduce((replaced, [name, real]) => replaced.replaceAll(name, real), text);
}

/** Whether the output block shows what was printed. */
export function isShown({ output, printed }: Run): boolean {
  const [shown, actual] = [comparable(output.text, output.language), comparable(printed, output.language)];
  const pattern = shown
    .split("…")
    .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`))
    .join("[^]*");
  return new RegExp(`^${pattern}$`).test(actual);
}

/** The document with the outputs that its commands really have. Blocks that are right stay as they are. */
export function withOutputs({ text }: Document, runs: readonly Run[]): string {
  let updated = text;
  for (const run of runs.toReversed()) {
    if (isShown(run)) continue;
    const { start, text: shown, language } = run.output;
    const printed = language === "json" ? `${layOut(JSON.parse(run.printed), "")}\n` : run.printed;
    updated = updated.slice(0, start) + printed + updated.slice(start + shown.length);
  }
  return updated;
}

const jsonColumnsMax = 110;

/** JSON with lists and objects on one line if they fit. */
function layOut(value: unknown, indent: string): string {
  const flat = JSON.stringify(value, null, 1)
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll("[ ", "[")
    .replaceAll(" ]", "]");
  if (typeof value !== "object" || value === null || indent.length + flat.length <= jsonColumnsMax) return flat;
  const inner = `${indent}  `;
  if (Array.isArray(value)) return `[\n${value.map((item) => inner + layOut(item, inner)).join(",\n")}\n${indent}]`;
  const members = Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${layOut(item, inner)}`);
  return `{\n${members.join(",\n")}\n${indent}}`;
}

/** Text in which all that differs from run to run is the same. */
function comparable(text: string, language: string): string {
  const plain = language === "json" ? canonicalJson(text) : text;
  return (
    plain
      .trimEnd()
      // Not all requests are traced.
      .replaceAll(/"(?:traceparent|trace_id)":(?:null|"[^"]*")/g, "TRACE")
      .replaceAll(/\be_[a-z0-9-]+_[0-9a-z]+_[0-9A-Za-z]+/g, "KEY")
      .replaceAll(/\bWz[EI]s[\w-]+/g, "PAGE")
      .replaceAll(/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/g, "UUID")
      .replaceAll(/\b[0-9a-f]{64}\b/g, "SHA256")
      .replaceAll(/\b[0-9a-f]{16}\b/g, "EPOCH")
      .replaceAll(/\b[0-9a-f]{12}\b/g, "ID")
      .replaceAll(/\bprimary-[0-9a-f]{8}\b/g, "NODE")
      .replaceAll(/\b[0-9a-f]{8}\b/g, "NODEKEY")
      .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?/g, "TIME")
      .replaceAll(/\b\d+(?:\.\d+)? (?:ms|s|kB|MB|bytes)\b/g, "AMOUNT")
      .replaceAll(/ +/g, " ")
  );
}

function canonicalJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

function saveFiles({ blocks, text }: Document, directory: string): void {
  let end = 0;
  for (const block of blocks) {
    const [, name] = /Save this as `([^`]+)`[^`]*```\w*\n$/.exec(text.slice(end, block.start)) ?? [];
    end = block.start + block.text.length;
    if (name === undefined) continue;
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), block.text);
  }
}

/** Settings of the process that runs the tests must not change the outputs. */
export function withoutSettings(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value === undefined || name.startsWith("OSTIARY_") ? [] : [[name, value]],
    ),
  );
}
