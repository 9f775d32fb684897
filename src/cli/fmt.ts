/** Policies in their one canonical form. Files are rewritten in place, each on its own: one that does not parse holds up no other. */
import { defaultLimits } from "../config/limits.ts";
import { polarLimits } from "../engine/policy/active-policy.ts";
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
The canonical form: two blanks of indent, one statement a line, lists and conditions on one line where they fit into
100 columns and one below the other where they don't, parentheses around an \`and\` inside an \`or\`. All comments are
kept, and of several empty lines one. There is nothing to configure. A policy means the same before and after, and
formatting what is formatted changes nothing.

A file with syntax errors is left as it is, and its errors are told. Status 1 says that there were some, or that --check
found a file to format.

Examples:
  ostiary fmt policy.polar
  ostiary fmt --check policies/*.polar    in a build or a commit hook: changes nothing
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
    .description("Format policies, comments and all")
    .argument("[files...]", "policy files to rewrite; without any, or for `-`, standard input goes to standard output")
    .option("--check", "change nothing, tell which files are not in canonical form")
    .option("--json", "what was changed and which problems there are, as JSON")
    .option("--stdin-filename <name>", "what messages call standard input", "<stdin>")
    .addHelpText("after", details)
    .action(async (files: string[], options: Options) => {
      const isInput = files.length === 0 || files.includes("-");
      if (isInput && files.length > 1)
        throw new UsageError("`-` stands for standard input, which can't be formatted together with files");
      const results = isInput ? [await formatInput(options)] : await formatFiles(files, options);
      const asked: Asked = { isInput, isCheck: options.check === true };
      await (options.json ? tellAsJson(results, asked) : tell(results, asked));
      finish(isGood(results, asked) ? 0 : 1);
    });
};

interface Asked {
  readonly isInput: boolean;
  readonly isCheck: boolean;
}

interface Result {
  readonly file: string;
  /** It is not, or was not, in canonical form. */
  readonly changed: boolean;
  readonly problems: readonly Diagnostic[];
  readonly source?: Source;
  /** The canonical form. */
  readonly text?: string;
}

/** One after the other, so that a file named twice is not written twice at the same time. */
async function formatFiles(files: readonly string[], { check }: Options): Promise<Result[]> {
  const results: Result[] = [];
  for (const file of files) {
    const bytes = await readBytes(file);
    const result = "code" in bytes ? { file, changed: false, problems: [bytes] } : formatBytes(file, bytes);
    results.push(check || !result.changed ? result : await rewrite(result));
  }
  return results;
}

async function formatInput({ stdinFilename }: Options): Promise<Result> {
  return formatBytes(stdinFilename, await readInput());
}

function formatBytes(file: string, bytes: Uint8Array): Result {
  const source = decode(file, bytes);
  if ("code" in source) return { file, changed: false, problems: [source] };
  const formatted = format(source, polarLimits(defaultLimits));
  if ("diagnostics" in formatted) return { file, changed: false, problems: formatted.diagnostics, source };
  // The bytes are compared, not the text: a byte order mark goes too.
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

function isGood(results: readonly Result[], { isCheck }: Asked): boolean {
  return results.every(({ changed, problems }) => problems.length === 0 && !(isCheck && changed));
}

async function tell(results: readonly Result[], asked: Asked): Promise<void> {
  for (const { problems, source } of results) {
    await printColored("stderr", renderDiagnostics(problems, source ? [source] : [], { color: wantsColor("stderr") }));
  }
  if (asked.isInput && !asked.isCheck) return printContent(results.map(({ text = "" }) => text).join(""));
  const changed = results.filter((result) => result.changed);
  const news = asked.isCheck ? "not in canonical form" : "formatted";
  await print(changed.map(({ file }) => `${printable(file)}: ${news}\n`).join(""));
  if (changed.length > 0 || !isGood(results, asked)) return;
  await print(`${results.map(({ file }) => printable(file)).join(", ")}: in canonical form\n`);
}

/** Standard input comes with its text, unless it was only to be checked. */
async function tellAsJson(results: readonly Result[], asked: Asked): Promise<void> {
  const files = results.map(({ file, changed, problems, source, text }) => ({
    file,
    changed,
    problems: problems.map((problem) => diagnosticToJson(problem, source ? [source] : [])),
    ...(asked.isInput && !asked.isCheck && text !== undefined && { text }),
  }));
  await print(`${JSON.stringify({ success: isGood(results, asked), files }, null, 2)}\n`);
}
