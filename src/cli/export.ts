/** `ostiary export`: writes the facts of a running node as NDJSON, page by page. */
import { existsSync, realpathSync, statSync } from "node:fs";
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { keepFilesPrivate, print, printUntilClosed } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { describeStorageFailure, storageFailureIn } from "../util/storage-failure.ts";
import { replaceFile } from "./atomic-write.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { accessOf, errorFrom, type NodeAccess, requestNodeAgain, withAccess } from "./node-api.ts";
import { describeRate, type ProgressLine, withProgress } from "./progress-line.ts";

const details = `
Each line is the JSON of a fact as in the API, in the order of the API. The node takes writes meanwhile: a fact that exists
during the whole export is in the file once; one that is inserted or deleted meanwhile may be in it or not. \`ostiary backup\`
writes one state of all data.

With --out the facts go to <file>.part first, and get the name at the end. If the export is interrupted, the same command
continues it.

Examples:
  ostiary export --out facts.ndjson
  ostiary export --predicate has_role | jq .args[0].id
  ostiary import facts facts.ndjson --url http://10.0.0.2:8080`;

interface Options {
  readonly out?: string;
  readonly predicate?: string;
  readonly json?: true;
}

export const exportCommand: AddCommand = (program) => {
  withAccess(program.command("export"), "read")
    .description("Write the facts of a running node, one per line, for `ostiary import facts` or other programs")
    .option("--out <file>", "The file to write; an existing one is replaced at the end (default: standard output)")
    .option("--predicate <name>", "Only facts of this predicate")
    .option("--json", "With --out: print the count as JSON")
    .addHelpText("after", details)
    .action(async ({ out, predicate, json }: Options, command: Command) => {
      const access = accessOf(command, "read");
      if (out === undefined) {
        if (json) throw new UsageError("--json needs --out: the facts on standard output are JSON already");
        return exportToOutput(access, predicate);
      }
      const target = targetOf(out);
      const facts = await withProgress((progress) => exportToFile(access, predicate, target, progress)).catch(
        (error: unknown) => {
          const failure = storageFailureIn(error);
          throw failure === undefined ? error : new AppError("invalid_request", describeStorageFailure(failure, out));
        },
      );
      await print(json ? `${JSON.stringify({ file: out, facts })}\n` : `${facts} facts written to ${out}\n`);
    });
};

/** The file that a symbolic link leads to, so that the link stays. Throws UsageError for what is not a file. */
function targetOf(out: string): string {
  if (!existsSync(dirname(out))) throw new UsageError(`\`${out}\` cannot be written: its directory does not exist`);
  if (!existsSync(out)) return out;
  // The rename at the end would replace a device, such as /dev/stdout.
  if (!statSync(out).isFile())
    throw new UsageError(`\`${out}\` is not a file; name another one, or leave out --out for standard output`);
  return realpathSync(out);
}

async function exportToOutput(access: NodeAccess, predicate: string | undefined): Promise<void> {
  for await (const { lines } of pagesOf(access, predicate, null)) if (!(await printUntilClosed(lines))) return;
}

/** What an interrupted export has written, in a file beside it. */
const stateSchema = z.object({
  url: z.string(),
  predicate: z.string().nullable(),
  token: z.string(),
  bytes: z.int(),
  facts: z.int(),
});

/** Returns the number of facts. */
async function exportToFile(
  access: NodeAccess,
  predicate: string | undefined,
  out: string,
  progress: ProgressLine,
): Promise<number> {
  keepFilesPrivate();
  const [part, statePath] = [`${out}.part`, `${out}.part.state`];
  const found = await readState(statePath);
  const isSame = found?.url === access.url && found.predicate === (predicate ?? null) && existsSync(part);
  const begun = isSame ? found : undefined;
  const file = await open(part, begun === undefined ? "w" : "r+");
  let [facts, bytes] = [begun?.facts ?? 0, begun?.bytes ?? 0];
  const startMs = performance.now();
  progress.begin(`exporting ${access.url}`);
  try {
    // What was written after the last state would be written again.
    await file.truncate(bytes);
    for await (const { lines, count, next } of pagesOf(access, predicate, begun?.token ?? null)) {
      bytes += await append(file, lines, bytes);
      facts += count;
      progress.describe(describeRate(facts - (begun?.facts ?? 0), startMs));
      const state = { url: access.url, predicate: predicate ?? null, token: next, bytes, facts };
      if (next !== null) await replaceFile(statePath, JSON.stringify(state));
    }
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(part, out);
  await rm(statePath, { force: true });
  return facts;
}

async function append(file: FileHandle, text: string, position: number): Promise<number> {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length;)
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  return bytes.length;
}

async function readState(path: string): Promise<z.output<typeof stateSchema> | undefined> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}

const pageSchema = z.object({ results: z.array(z.unknown()), next_page_token: z.string().nullable() });

interface ExportedPage {
  readonly lines: string;
  readonly count: number;
  readonly next: string | null;
}

async function* pagesOf(
  access: NodeAccess,
  predicate: string | undefined,
  token: string | null,
): AsyncGenerator<ExportedPage> {
  for (let next = token; ;) {
    const query = new URLSearchParams({ page_size: "1000" });
    if (predicate !== undefined) query.set("predicate", predicate);
    if (next !== null) query.set("page_token", next);
    const response = await requestNodeAgain(access, { method: "GET", path: `/api/facts?${query}` });
    if (!response.ok) throw await errorFrom(access.url, response);
    const page = pageSchema.safeParse(await response.json());
    if (!page.success || (page.data.next_page_token === next && next !== null))
      throw new AppError(
        "invalid_request",
        "the response of the node is not a page of facts; the node may have another version",
      );
    const { results, next_page_token: following } = page.data;
    const lines = results.map((fact) => `${JSON.stringify(fact)}\n`).join("");
    yield { lines, count: results.length, next: following };
    if (following === null) return;
    next = following;
  }
}
