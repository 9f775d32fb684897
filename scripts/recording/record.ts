/**
 * The terminal in the README: a shell runs the commands, and the picture shows them with all that they print. It does not
 * move, so that a reader sees all of it at once.
 */
import * as Bun from "bun";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { builtBinary } from "../built-binary.ts";
import { freePort } from "../node-process.ts";

interface Step {
  readonly command: string;
  readonly output: readonly string[];
}

const key = "e_0123456789_12345_osotesttoken01xiIn";
const node = "ostiary dev policy.polar >log 2>&1 &";
const commands = [
  "head -n 14 policy.polar",
  "ostiary test policy.polar",
  node,
  `export OSO_AUTH=${key}`,
  "ostiary tell has_role User:ann reader Folder:plans",
  "ostiary tell has_relation Doc:budget folder Folder:plans",
  "ostiary authorize User:ann read Doc:budget",
  "ostiary explain User:ann read Doc:budget",
  "ostiary explain User:bob read Doc:budget",
];

/** Runs the commands with the built program, and returns the picture as SVG. */
export async function recordTerminal(): Promise<string> {
  return draw(await runSession());
}

const separator = "\u001e";

async function runSession(): Promise<readonly Step[]> {
  const folder = mkdtempSync(join(tmpdir(), "ostiary-recording-"));
  try {
    cpSync(join(import.meta.dirname, "policy.polar"), join(folder, "policy.polar"));
    const ready = "until ostiary health --url $OSO_URL >health 2>&1; do kill -0 $!; sleep 0.1; done";
    const lines = commands.flatMap((command) => [
      `printf '\\036'`,
      command,
      ...(command === node ? ["trap 'kill $!' EXIT", "trap exit TERM", ready] : []),
    ]);
    const port = await freePort();
    const shell = Bun.spawn(["sh", "-e"], {
      cwd: folder,
      env: {
        PATH: `${dirname(await builtBinary())}:${process.env["PATH"] ?? ""}`,
        OSO_PORT: String(port),
        OSO_URL: `http://127.0.0.1:${port}`,
      },
      stdin: Buffer.from(`exec 2>&1\n${lines.join("\n")}\n`),
      stdout: "pipe",
      stderr: "inherit",
      timeout: 60_000,
    });
    const [status, printed] = await Promise.all([shell.exited, shell.stdout.text()]);
    if (status !== 0) throw new Error(`the recorded commands ended with status ${status}:\n${printed}`);
    const outputs = printed.split(separator).slice(1);
    return commands.map((command, index) => ({ command, output: linesOf(outputs[index] ?? "") }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const linesOf = (text: string): readonly string[] => (text === "" ? [] : text.trimEnd().split("\n"));

const fontSize = 12;
const lineHeight = 17;
/** The widest that a character is in usual fonts of terminals. */
const characterWidth = fontSize * 0.61;
const margin = 16;

function draw(steps: readonly Step[]): string {
  const lines = steps.flatMap(({ command, output }) => [
    { kind: ' class="command"', text: `$ ${command}` },
    ...output.map((text) => ({ kind: "", text })),
  ]);
  const texts = lines.map(({ kind, text }, index) => {
    const y = margin + lineHeight * index + fontSize;
    return `  <text${kind} x="${margin}" y="${y}">${escaped(text)}</text>`;
  });
  const width = Math.ceil(2 * margin + Math.max(...lines.map(({ text }) => text.length)) * characterWidth);
  const height = 2 * margin + lines.length * lineHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" xml:space="preserve">
  <title>A terminal: a policy, its test, two facts, and why one user may read a document and another may not</title>
  <style>
    text { font: ${fontSize}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #c9d1d9; white-space: pre; }
    .command { fill: #7ee787; }
  </style>
  <rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${texts.join("\n")}
</svg>
`;
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
