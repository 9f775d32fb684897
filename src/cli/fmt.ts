/**
 * `ostiary fmt`: formats policies. It rewrites each file independently: a file with syntax errors does not prevent the
 * others.
 */
import { defaultLimits } from "../config/limits.ts";
import { polarLimits } from "../policy/active-policy.ts";
import type { Diagnostic } from "../polar/diagnostic.ts";
import { format } from "../polar/format.ts";
import { diagnosticToJson, renderDiagnostics } from "../polar/render.ts";
import type { Source } from "../polar/source.ts";
import { print, printColored, printContent, readInput, wantsColor } from "../runtime/process.ts";
import { AppError } from "../util/app-error.ts";
import { printable } from "../util/printable.ts";
import { type AddCommand, UsageError } from "./command.ts";
import { decode, readBytes } from "./policy-files.ts";
import { replaceFile } from "./atomic-write.ts";

const details = `
The canonical form has two spaces of indentation and one statement per line. Lists and conditions are on one line if they
fit into 100 columns, otherwise one below the other. An \`and\` inside an \`or\` has parentheses. All comments are kept, and
one of several empty lines. A \`;\` that was left out is written. There is no configuration. A policy means the same before
and after, and formatting a formatted policy changes nothing.

A file with syntax errors is not changed, and its errors are printed. The status is 1 if there were errors, or if --check
found a file that is not formatted.

Examples:
  ostiary fmt policy.polar
  ostiary fmt --check policies/*.polar    in a build or a commit hook: changes no file
  ostiary fmt < policy.polar              from an editor: standard input to standard output
`;

interface Options {
  readonly check?: true;
  readonly json?: true;
  readonly stdinFilename: string;
}

export const fmtCommand: AddCommand = (program, finish) => {
  program
    .command("fmt")
    .description("Format policies, with their comments")
    .argument(
      "[files...]",
      "Policy files to rewrite; without files, or for `-`, standard input is formatted to standard output",
    )
    .option("--check", "Change no file, print the files that are not formatted")
    .option("--json", "Print the changed files and the problems as JSON")
    .option("--stdin-filename <name>", "The name of standard input in messages", "<stdin>")
    .addHelpText("after", details)
    .action(async (files: string[], options: Options) => {
      const isInput = files.length === 0 || files.includes("-");
      if (isInput && files.length > 1)
        throw new UsageError("`-` means standard input, which cannot be formatted together with files");
      const results = isInput
        ? [formatBytes(options.stdinFilename, await readInput())]
        : await formatFiles(files, options);
      const mode: FormatMode = { isInput, isCheck: options.check === true };
      await (options.json ? printJson(results, mode) : printText(results, mode));
      finish(isGood(results, mode) ? 0 : 1);
    });
};

interface FormatMode {
  readonly isInput: boolean;
  readonly isCheck: boolean;
}

interface Result {
  readonly file: string;
  /** Whether it is not, or was not, in the canonical form. */
  readonly changed: boolean;
  readonly problems: readonly Diagnostic[];
  readonly source?: Source;
  /** The canonical form. */
  readonly text?: string;
}

/** Formats one file after another, so that a file that is named twice is not written concurrently. */
async function formatFiles(files: readonly string[], { check }: Options): Promise<Result[]> {
  const results: Result[] = [];
  for (const file of files) {
    const bytes = await readBytes(file);
    const result = "code" in bytes ? { file, changed: false, problems: [bytes] } : formatBytes(file, bytes);
    results.push(check || !result.changed ? result : await rewrite(result));
  }
  return results;
}

function formatBytes(file: string, bytes: Uint8Array): Result {
  const source = decode(file, bytes);
  if ("code" in source) return { file, changed: false, problems: [source] };
  const formatted = format(source, polarLimits(defaultLimits));
  if ("diagnostics" in formatted) return { file, changed: false, problems: formatted.diagnostics, source };
  // Compares bytes rather than texts, because the canonical form has no byte order mark.
  const changed = !Buffer.from(formatted.text).equals(bytes);
  return { file, changed, problems: [], source, text: formatted.text };
}

async function rewrite(result: Result): Promise<Result> {
  const { file, text = "" } = result;
  try {
    await replaceFile(file, text);
    return result;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const span = { file, start: 0, end: 0 };
    const problem: Diagnostic = { code: "file/unwritable", severity: "error", message: error.message, span };
    return { file, changed: false, problems: [problem] };
  }
}

function isGood(results: readonly Result[], { isCheck }: FormatMode): boolean {
  return results.every(({ changed, problems }) => problems.length === 0 && !(isCheck && changed));
}

async function printText(results: readonly Result[], mode: FormatMode): Promise<void> {
  for (const { problems, source } of results) {
    await printColored("stderr", renderDiagnostics(problems, source ? [source] : [], { color: wantsColor("stderr") }));
  }
  if (mode.isInput && !mode.isCheck) return printContent(results.map(({ text = "" }) => text).join(""));
  const changed = results.filter((result) => result.changed);
  const state = mode.isCheck ? "not in canonical form" : "formatted";
  await print(changed.map(({ file }) => `${printable(file)}: ${state}\n`).join(""));
  if (changed.length > 0 || !isGood(results, mode)) return;
  await print(`${results.map(({ file }) => printable(file)).join(", ")}: in canonical form\n`);
}

/** The result of standard input contains the text, except with --check. */
async function printJson(results: readonly Result[], mode: FormatMode): Promise<void> {
  const files = results.map(({ file, changed, problems, source, text }) => ({
    file,
    changed,
    problems: problems.map((problem) => diagnosticToJson(problem, source ? [source] : [])),
    ...(mode.isInput && !mode.isCheck && text !== undefined && { text }),
  }));
  await print(`${JSON.stringify({ success: isGood(results, mode), files }, null, 2)}\n`);
}
