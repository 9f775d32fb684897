/** `ostiary export`: writes the facts of a running node as NDJSON, page by page. */
import { constants, existsSync, realpathSync, statSync } from "node:fs";
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { factEndpoints } from "./endpoints.ts";
import { installFile, writeFileAtomically } from "../../runtime/atomic-file.ts";
import { type FileLock, lockFile } from "../../runtime/file-lock.ts";
import { keepFilesPrivate, print, printUntilClosed } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { describeStorageFailure, storageFailureIn } from "../../util/storage-failure.ts";
import { type AddCommand, UsageError } from "../../cli/command.ts";
import { accessOf, type NodeAccess, withAccess } from "../../cli/node-api.ts";
import { countFacts } from "../../cli/parse-fact.ts";
import { describeRate, type ProgressLine, withProgress } from "../../cli/progress-line.ts";
import { type FactPage, factPages } from "../../cli/stored-facts.ts";

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
  withAccess(program.command("export"), factEndpoints.getFacts)
    .description("Write the facts of a running node, one per line, for `ostiary import facts` or other programs")
    .option("--out <file>", "The file to write; an existing one is replaced at the end (default: standard output)")
    .option("--predicate <name>", "Only facts of this predicate")
    .option("--json", "With --out: print the count as JSON")
    .addHelpText("after", details)
    .action(async ({ out, predicate: name, json }: Options, command: Command) => {
      const access = accessOf(command);
      const predicate = name ?? null;
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
      await print(json ? `${JSON.stringify({ file: out, facts })}\n` : `${countFacts(facts)} written to ${out}\n`);
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

async function exportToOutput(access: NodeAccess, predicate: string | null): Promise<void> {
  for await (const page of factPages(access, queryOf(predicate))) if (!(await printUntilClosed(linesOf(page)))) return;
}

/** What an interrupted export has written, in a file beside it. */
const stateSchema = z.object({
  url: z.string(),
  predicate: z.string().nullable(),
  token: z.string(),
  bytes: z.int(),
  facts: z.int(),
});
type State = z.output<typeof stateSchema>;

/** Returns the number of facts. */
async function exportToFile(
  access: NodeAccess,
  predicate: string | null,
  out: string,
  progress: ProgressLine,
): Promise<number> {
  keepFilesPrivate();
  const lockPath = `${out}.part.lock`;
  const lock = lockOutput(out, lockPath);
  try {
    const facts = await exportToPart(access, predicate, out, progress);
    installFile(`${out}.part`, out);
    await rm(`${out}.part.state`, { force: true });
    // While it is locked, so that it is not the file of another export.
    await rm(lockPath, { force: true });
    return facts;
  } finally {
    lock.release();
  }
}

async function exportToPart(
  access: NodeAccess,
  predicate: string | null,
  out: string,
  progress: ProgressLine,
): Promise<number> {
  const [part, statePath] = [`${out}.part`, `${out}.part.state`];
  const file = await open(part, constants.O_RDWR | constants.O_CREAT);
  try {
    const found = await readState(statePath);
    const isSame = found?.url === access.url && found.predicate === predicate;
    const begun = isSame && found.bytes <= (await file.stat()).size ? found : undefined;
    let [facts, bytes] = [begun?.facts ?? 0, begun?.bytes ?? 0];
    const startMs = performance.now();
    progress.begin(`exporting ${access.url}`);
    // What was written after the last state would be written again.
    await file.truncate(bytes);
    for await (const page of factPages(access, queryOf(predicate), begun?.token)) {
      bytes += await append(file, linesOf(page), bytes);
      facts += page.facts.length;
      progress.describe(describeRate(facts - (begun?.facts ?? 0), startMs));
      if (page.next === null) continue;
      // If the facts were not on the disk, an export after a power cut could continue behind a gap.
      await file.datasync();
      const state: State = { url: access.url, predicate, token: page.next, bytes, facts };
      writeFileAtomically(statePath, JSON.stringify(state), false);
    }
    return facts;
  } finally {
    await file.close();
  }
}

/** Two exports to one file would write into each other's part. Throws AppError `conflict`. */
function lockOutput(out: string, lockPath: string): FileLock {
  try {
    return lockFile(lockPath);
  } catch (error) {
    if (storageFailureIn(error) !== undefined) throw error;
    throw new AppError(
      "conflict",
      `another export to \`${out}\` is running (\`${lockPath}\` is locked); wait for its end, or name another file`,
      { cause: error },
    );
  }
}

async function append(file: FileHandle, text: string, position: number): Promise<number> {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length;)
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  return bytes.length;
}

async function readState(path: string): Promise<State | undefined> {
  try {
    return stateSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}

function queryOf(predicate: string | null): URLSearchParams {
  return new URLSearchParams(predicate === null ? {} : { predicate });
}

function linesOf({ facts }: FactPage): string {
  return facts.map((fact) => `${JSON.stringify(fact)}\n`).join("");
}
