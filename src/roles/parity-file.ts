/**
 * The file that keeps parity reports over a restart. It is written when the node stops, and now and then if there are
 * new reports: a crash can lose the latest ones. A file that cannot be read or written costs only the reports.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { parseKeptQuestion } from "../http/parity/kept-question.ts";
import { type ParityLog, type ParityReport, parityResults } from "../http/parity/parity-log.ts";
import type { System } from "../replication/system.ts";
import { getLogger } from "../telemetry/logger.ts";
import { AppError } from "../util/app-error.ts";
import { reasonOf } from "../util/reason.ts";

const fileName = "parity-reports.ndjson";
const intervalMs = 10_000;
/** Lines that are written at a time; other requests run in between. */
const linesAtATime = 500;

/** Compared with the memory that the reports may take, the file has more text around them. */
const sizeFactor = 2;

/** A time that a date can have. */
const timeMs = z.number().min(0).max(8.64e15);

const report = z.object({
  keyId: z.string(),
  requestId: z.string(),
  expected: z.boolean(),
  timeMs,
  decision: z
    .object({
      keyId: z.string(),
      requestId: z.string(),
      question: z.string().refine(isQuestion),
      omittedFacts: z.number(),
      allowed: z.boolean(),
      timeMs,
    })
    .optional(),
  result: z.enum(parityResults),
  sequence: z.number(),
});

function isQuestion(text: string): boolean {
  try {
    parseKeptQuestion(text);
    return true;
  } catch {
    return false;
  }
}

/** Restores the reports of the directory. Returns a function that saves them for the last time. */
export function keepParityReports(
  parity: ParityLog,
  { data, limits }: { readonly data: string; readonly limits: { readonly parityReportsBytesMax: number } },
  clock: System["clock"],
): () => Promise<void> {
  const path = join(data, fileName);
  let hasWarned = false;
  const warn = (error: unknown): void => {
    if (!hasWarned)
      log.warning("{path}: parity reports are not kept over a restart: {reason}", { path, reason: reasonOf(error) });
    hasWarned = true;
  };
  try {
    parity.restore(readReports(path, sizeFactor * limits.parityReportsBytesMax));
  } catch (error) {
    warn(error);
  }
  let saved = parity.version;
  let saving: Promise<void> | undefined;
  const save = async (): Promise<void> => {
    const { version } = parity;
    if (version === saved) return;
    try {
      await writeReports(path, [...parity.all()]);
      saved = version;
      hasWarned = false;
    } catch (error) {
      warn(error);
    }
  };
  const next = (): Promise<void> => (saving ??= save().finally(() => (saving = undefined)));
  const cancel = clock.every(intervalMs, () => void next());
  return async () => {
    cancel();
    await saving;
    await next();
  };
}

function readReports(path: string, bytesMax: number): ParityReport[] {
  if (!existsSync(path)) return [];
  if (statSync(path).size > bytesMax)
    throw new AppError("too_large", `it has more than ${bytesMax} bytes, twice \`advanced.parityReportsBytesMax\``);
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line, index) => {
    try {
      const { decision, ...rest } = report.parse(JSON.parse(line));
      return { ...rest, decision };
    } catch (cause) {
      throw new AppError("invalid_request", `line ${index + 1} is not a report`, { cause });
    }
  });
}

/** A full disk gets the space of an incomplete file back. */
async function writeReports(path: string, reports: readonly ParityReport[]): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await writeLines(temporary, reports);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function writeLines(path: string, reports: readonly ParityReport[]): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    for (let start = 0; start < reports.length; start += linesAtATime) {
      const lines = reports.slice(start, start + linesAtATime).map((each) => `${JSON.stringify(each)}\n`);
      await file.appendFile(lines.join(""));
    }
    // Otherwise a power cut after the renaming could leave an empty file.
    await file.sync();
  } finally {
    await file.close();
  }
}

const log = getLogger("parity");
