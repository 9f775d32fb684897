/**
 * The rate of `ostiary import facts` into a primary over HTTP, compared with the rate at which an engine applies the same
 * facts as events of 1,000. The facts are divided into parts; the two alternate.
 */
import * as Bun from "bun";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Fact } from "../../src/store/facts/fact.ts";
import { databaseFiles, removeFiles } from "../../src/store/snapshot/snapshot.ts";
import type { Nodes } from "./nodes.ts";
import { applyFacts, createFile, inChunks } from "./store-file.ts";

export interface ImportRates {
  readonly facts: number;
  readonly importedPerSecond: number;
  readonly appliedPerSecond: number;
}

const parts = 4;

/** `primary` must run, without facts. */
export async function measureImport(
  { primary, adminKey }: Nodes,
  { binary, directory, policy, size }: Readonly<Record<"binary" | "directory" | "policy", string>> & { size: number },
  facts: Iterable<Fact>,
): Promise<ImportRates> {
  await send(`${primary.url}/api/policy`, adminKey, { src: policy });
  const [input, path] = [join(directory, "import.ndjson"), join(directory, "applied.db")];
  const subject = createFile(path, policy);
  const environment = { ...process.env, OSO_URL: primary.url, OSO_AUTH: adminKey };
  let [count, importedMs, appliedMs] = [0, 0, 0];
  try {
    for (const part of inChunks(facts, Math.ceil(size / parts))) {
      writeFileSync(input, part.map((fact) => `${JSON.stringify(fact)}\n`).join(""));
      appliedMs += await milliseconds(() => applyFacts(subject, part));
      importedMs += await milliseconds(async () => {
        const command = [binary, "import", "facts", input, "--json"];
        const child = Bun.spawn(command, { env: environment, stdout: "pipe", stderr: "inherit" });
        const { inserted } = (await child.stdout.json()) as { readonly inserted: number };
        if (inserted !== part.length) throw new Error(`${inserted} of ${part.length} facts were imported`);
      });
      count += part.length;
    }
  } finally {
    subject.close();
    removeFiles(databaseFiles(path));
    rmSync(input, { force: true });
  }
  const perSecond = (ms: number): number => (1000 * count) / ms;
  return { facts: count, importedPerSecond: perSecond(importedMs), appliedPerSecond: perSecond(appliedMs) };
}

async function send(url: string, key: string, body: object): Promise<void> {
  const headers = { Authorization: `Bearer ${key}` };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
}

async function milliseconds(work: () => Promise<void> | void): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
