/**
 * The policy files of a command: several form one policy, and each keeps its name for messages. All commands that read
 * policies use the same check and the same report: problems with their positions, and the results of tests.
 */
import { readFile } from "node:fs/promises";
import { checkPolicy, type CheckOptions, type PolicyCheck } from "../engine/validation/policy-check.ts";
import type { SourcePart } from "../policy/stored-policy.ts";
import { joinSources } from "../policy/active-policy.ts";
import { policyReport, type PolicyReport } from "../engine/validation/policy-report.ts";
import type { TestRun } from "../engine/validation/policy-tests.ts";
import type { Diagnostic } from "../polar/diagnostic.ts";
import { renderDiagnostics } from "../polar/render.ts";
import type { Source } from "../polar/source.ts";
import { print, printColored, wantsColor } from "../runtime/process.ts";
import { must } from "../util/assert.ts";
import { fileProblem } from "../util/reason.ts";
import { readRegularFile } from "../util/regular-file.ts";
import { fitsInBytes } from "../util/text-length.ts";
import { printable } from "../util/printable.ts";
import { paint } from "./color.ts";

export interface CheckedPolicy extends PolicyCheck {
  readonly sources: readonly Source[];
  readonly options: CheckOptions;
  /** Whether there are no errors and all tests passed. */
  readonly good: boolean;
}

/**
 * Reads and checks policy files. A file that cannot be read is reported like the other problems of a policy. Only regular
 * files can be watched: `readOnce` also reads a pipe, such as `<(…)`.
 */
export async function checkFiles(
  paths: readonly string[],
  options: CheckOptions,
  read: ReadBytes = readOnce,
): Promise<CheckedPolicy> {
  const files = await Promise.all(paths.map((path) => readPolicyFile(path, read)));
  const sources = files.flatMap((file) => ("text" in file ? [file] : []));
  const diagnostics = files.flatMap((file) => ("text" in file ? [] : [file]));
  // Without the declarations in an unreadable file there would be many other problems, which would hide this one.
  if (diagnostics.length > 0)
    return { policy: undefined, active: undefined, diagnostics, tests: undefined, sources, options, good: false };
  const checked = checkPolicy(sources, options);
  return { ...checked, sources, options, good: checked.policy !== undefined && checked.tests?.success !== false };
}

type ReadBytes = (path: string) => Promise<Uint8Array>;
const readOnce: ReadBytes = (path) => readFile(path);

/** Many times what a node accepts as a policy by default. */
const watchedBytesMax = 16 * 1024 * 1024;
export const readWatched: ReadBytes = async (path) => (await readRegularFile(path, watchedBytesMax)).bytes;

async function readPolicyFile(path: string, read: ReadBytes): Promise<Source | Diagnostic> {
  const bytes = await readBytes(path, read);
  return "code" in bytes ? bytes : decode(path, bytes);
}

export async function readBytes(path: string, read = readOnce): Promise<Uint8Array | Diagnostic> {
  try {
    return await read(path);
  } catch (error) {
    return unreadable(path, `the file cannot be read: ${fileProblem(error)}; name a readable policy file`);
  }
}

export function decode(name: string, bytes: Uint8Array): Source | Diagnostic {
  try {
    return { name, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return unreadable(name, "the file is not UTF-8 text");
  }
}

function unreadable(file: string, message: string): Diagnostic {
  return { code: "file/unreadable", severity: "error", message, span: { file, start: 0, end: 0 } };
}

/** Prints to standard error. */
export async function printProblems({ diagnostics, sources }: CheckedPolicy): Promise<void> {
  const text = renderDiagnostics(diagnostics, sources, { color: wantsColor("stderr") });
  if (text !== "") await printColored("stderr", text.endsWith("\n") ? text : `${text}\n`);
}

/** Prints problems to standard error and test results to standard output. */
export async function printReport(checked: CheckedPolicy): Promise<void> {
  const { sources, tests } = checked;
  await printProblems(checked);
  if (tests !== undefined)
    await printColored(
      "stdout",
      renderTests(tests, sources) + renderCoverage(policyReport(checked, sources, checked.options)),
    );
}

/** Prints one JSON document; with indent 0 as one line, for several documents. */
export async function printReportAsJson(checked: CheckedPolicy, indent: 0 | 2 = 2): Promise<void> {
  await print(`${JSON.stringify(policyReport(checked, checked.sources, checked.options), null, indent)}\n`);
}

function renderTests({ tests, failures }: TestRun, sources: readonly Source[]): string {
  const color = wantsColor("stdout");
  const failed = Map.groupBy(failures, ({ test }) => test);
  const lines = tests.flatMap(({ name, passed, total }) => {
    const own = failed.get(name)?.map(({ diagnostic }) => diagnostic) ?? [];
    const line = `${own.length === 0 ? "pass" : paint("stdout", "red", "FAIL")}  ${printable(name)} (${passed} of ${total})`;
    return own.length === 0 ? [line] : [line, "", renderDiagnostics(own, sources, { color })];
  });
  const passing = tests.filter(({ passed, total }) => passed === total);
  const sum = tests.length === 0 ? "the policy has no tests" : `${passing.length} of ${tests.length} tests passed`;
  return `${[...lines, sum].join("\n")}\n`;
}

function renderCoverage({ coverage }: PolicyReport): string {
  if (!coverage) return "";
  const { rules, exercised, complete, unexercised } = coverage;
  const incomplete = complete ? "" : " (or more: some answers needed too many steps to explain)";
  const sum = `${exercised} of ${rules} rules exercised by tests${incomplete}`;
  if (unexercised.length === 0) return `${sum}\n`;
  const positions = unexercised.map(({ file, line, column }) => `${printable(file)}:${line}:${column}`);
  const width = Math.max(...positions.map((position) => position.length));
  const list = unexercised.map(({ rule }, index) => `  ${must(positions[index]).padEnd(width)}  ${printable(rule)}`);
  return `${sum}, not exercised:\n${list.join("\n")}\n`;
}

/** The name that a node gets for several files has at most as many bytes as a node accepts by default. */
const nameBytesMax = 1024;

/** The body of an upload. A policy is stored as one text with one name; `parts` says which lines are of which file. */
export function uploadOf(sources: readonly Source[]): { src: string; filename: string; parts?: SourcePart[] } {
  const names = sources.map(({ name }) => name).join(", ");
  const filename = fitsInBytes(names, nameBytesMax) ? names : `${sources.length} files`;
  const parts = sources.map(({ name, text }) => ({ filename: name, lines: text.split("\n").length }));
  return { src: joinSources(sources), filename, ...(sources.length > 1 && filename === names && { parts }) };
}
