/** `ostiary import facts`: inserts the facts of an NDJSON file, such as that of `ostiary export`, into a running node. */
import { statSync } from "node:fs";
import type { Command } from "commander";
import { factEndpoints } from "../../features/facts/endpoints.ts";
import { defaultLimits } from "../../config/limits.ts";
import { print, stopSignal } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { must } from "../../util/assert.ts";
import { type AddCommand, type ExitStatus, UsageError } from "../command.ts";
import { printWarning } from "../color.ts";
import { accessOf, hintIn, messageIn, type NodeAccess, requestNodeAgain, withAccess } from "../node-api.ts";
import { countFacts } from "../parse-fact.ts";
import { describeRate, type ProgressLine, withProgress } from "../progress-line.ts";
import { countsIn } from "../stored-facts.ts";
import { type BatchSize, type FactBatch, factBatches, lineError } from "./fact-lines.ts";

const details = `
Each line is the JSON of a fact as in the API. Facts that the node has already change nothing, so a file can be imported again.
The facts are written in transactions of up to 1,000. A line that the node refuses ends the import. If the import ends early,
the facts before the line that it prints are stored, and maybe some after it; continue with --from-line.

Examples:
  ostiary import facts facts.ndjson
  ostiary export --url http://10.0.0.1:8080 | ostiary import facts - --url http://10.0.0.2:8080
  ostiary import facts facts.ndjson --from-line 120001      continue an import`;

/** While the node writes one batch, others are on their way. The node commits waiting ones together. */
const batchesInFlight = 8;
/** Of many batches with unknown names. */
const hintsMax = 5;

interface Options {
  readonly fromLine: string;
  readonly json?: true;
}

export const importFactsCommand: AddCommand = (program, finish) => {
  withAccess(program.command("facts"), factEndpoints.batch)
    .description("Insert facts from a file with one fact per line")
    .argument("<file>", "The file, or - for standard input")
    .option("--from-line <number>", "Begin with this line", "1")
    .option("--json", "Print the counts as JSON")
    .addHelpText("after", details)
    .action(async (file: string, { fromLine, json }: Options, command: Command) => {
      if (!/^[1-9]\d{0,14}$/.test(fromLine)) throw new UsageError(`\`${fromLine}\` is not the number of a line`);
      const access = accessOf(command);
      const result = await withProgress((progress) => importFacts(access, file, Number(fromLine), progress));
      finish(await report(file, result, json ?? false));
    });
};

/** Prints the counts, and why the import ended early. Returns the status of the command. */
async function report(file: string, result: ImportResult, json: boolean): Promise<ExitStatus> {
  const { facts, inserted, nextLine, hints, problem } = result;
  const counted = { file, facts, inserted, existing: facts - inserted, next_line: nextLine };
  const format = (count: number): string => count.toLocaleString("en");
  const text = `${countFacts(facts)} imported: ${format(inserted)} inserted, ${format(facts - inserted)} existed\n`;
  await print(json ? `${JSON.stringify(counted)}\n` : text);
  for (const hint of hints) await printWarning(hint);
  if (nextLine === null) return 0;
  if (nextLine > 1)
    await printWarning(`all lines before ${nextLine} are imported: continue with --from-line ${nextLine}`);
  if (problem !== undefined) throw problem;
  return 1;
}

interface ImportResult {
  /** The facts in the file up to `nextLine`. */
  readonly facts: number;
  readonly inserted: number;
  /** All lines before this one are imported; null at the end of the file. */
  readonly nextLine: number | null;
  /** About names in the facts that the policy does not have. */
  readonly hints: ReadonlySet<string>;
  /** Why the import ended early, if no signal ended it. */
  readonly problem?: unknown;
}

async function importFacts(
  access: NodeAccess,
  file: string,
  fromLine: number,
  progress: ProgressLine,
): Promise<ImportResult> {
  const bytesMax = file === "-" ? undefined : sizeOf(file);
  const size = { facts: defaultLimits.batchEntriesMax, bytes: defaultLimits.writeBodyBytesMax - envelopeBytes };
  const startMs = performance.now();
  progress.begin(`importing ${file === "-" ? "standard input" : file}`);
  let [facts, inserted, nextLine] = [0, 0, fromLine];
  const hints = new Set<string>();
  const stopped = stopSignal().then(() => progress.begin("ending after the facts on their way, Ctrl-C ends it now"));
  const inFlight: { readonly batch: FactBatch; readonly written: Promise<number> }[] = [];
  let [failure, readFailure, isWhole]: [unknown, unknown, boolean] = [undefined, undefined, false];
  /** Waits for the oldest batch. The first one that fails decides where to continue. */
  const settle = async (): Promise<void> => {
    const { batch, written } = must(inFlight.shift());
    try {
      const added = await written;
      if (failure !== undefined) return;
      inserted += added;
      facts += batch.facts.length;
      nextLine = must(batch.lines.at(-1)) + 1;
      progress.describe(describeRate(facts, startMs, bytesMax && batch.bytesRead / bytesMax));
    } catch (error) {
      failure ??= error;
    }
  };
  const batches = factBatches(file, fromLine, size);
  try {
    while (failure === undefined) {
      // Standard input may bring nothing for a long time.
      const next = await Promise.race([batches.next(), stopped]);
      isWhole = next?.done === true;
      if (next === undefined || next.done) break;
      const written = writeBatch(access, file, next.value, size, hints);
      // It is handled when its turn comes.
      written.catch(() => {});
      inFlight.push({ batch: next.value, written });
      if (inFlight.length >= batchesInFlight) await settle();
    }
  } catch (error) {
    readFailure = error;
  }
  while (inFlight.length > 0) await settle();
  if (failure instanceof BatchError) {
    const { line, facts: before, inserted: added, reason } = failure;
    return { facts: facts + before, inserted: inserted + added, nextLine: line, hints, problem: reason };
  }
  const problem = failure ?? readFailure;
  return { facts, inserted, nextLine: isWhole && problem === undefined ? null : nextLine, hints, problem };
}

function sizeOf(file: string): number {
  const found = statSync(file);
  if (found.isDirectory()) throw new UsageError(`\`${file}\` is a directory; name a file with facts`);
  return found.size;
}

/** The JSON around the facts of a batch. */
const envelopeBytes = 64;

/** A batch of which only the facts before a line are imported. */
class BatchError extends Error {
  readonly line: number;
  readonly facts: number;
  readonly inserted: number;
  readonly reason: AppError;

  constructor(line: number, facts: number, inserted: number, reason: AppError) {
    super(reason.message);
    [this.line, this.facts, this.inserted, this.reason] = [line, facts, inserted, reason];
  }
}

/**
 * Writes a batch. Resolves with the number of facts that are new. If the node refuses it, halves it until the line is
 * found, or until it is small enough; then later batches are smaller too. Adds to `hints`.
 * Throws BatchError.
 */
async function writeBatch(
  access: NodeAccess,
  file: string,
  batch: FactBatch,
  size: BatchSize,
  hints: Set<string>,
): Promise<number> {
  let [inserted, written] = [0, 0];
  const write = async (start: number, end: number): Promise<void> => {
    const body = `[{"inserts":[${batch.facts.slice(start, end).join(",")}]}]`;
    const fail = (reason: AppError): BatchError => new BatchError(must(batch.lines[start]), written, inserted, reason);
    const response = await requestNodeAgain(access, { method: "POST", path: "/api/batch", body }).catch(
      (error: AppError) => {
        throw fail(error);
      },
    );
    const message = (await messageIn(response)) ?? "no reason given";
    if (response.ok) {
      inserted += countsIn(message).inserted;
      const hint = hintIn(response);
      if (hint !== undefined && hints.size < hintsMax) hints.add(hint);
      written += end - start;
      return;
    }
    const isTooLarge = response.status === 413;
    if (end - start === 1 || (response.status !== 400 && !isTooLarge)) {
      const text = `${access.url} answered ${response.status}: ${message}`;
      const isLine = response.status === 400 || isTooLarge;
      throw fail(isLine ? lineError(file, must(batch.lines[start]), text) : new AppError("invalid_request", text));
    }
    const middle = (start + end) >> 1;
    if (isTooLarge) {
      size.facts = Math.max(1, Math.min(size.facts, middle - start));
      size.bytes = Math.min(size.bytes, body.length >> 1);
    }
    await write(start, middle);
    await write(middle, end);
  };
  await write(0, batch.facts.length);
  return inserted;
}
