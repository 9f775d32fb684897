/** Renders diagnostics as text for people and as JSON for programs. No other file turns them into text. */
import { printable } from "../util/printable.ts";
import type { Diagnostic } from "./diagnostic.ts";
import { type Position, type Source, lineText, positionAt, startsOf } from "./source.ts";
import type { Span } from "./span.ts";

export interface RenderOptions {
  /** ANSI colours, for a terminal. */
  readonly color: boolean;
}

/**
 *     policy.polar:4:13: error: `owner` is not declared in `Repo` [block/undeclared-name]
 *         "read" if "owner";
 *                   ^^^^^^^
 *       hint: declare it as a role, a permission or a relation
 */
export function renderDiagnostics(
  diagnostics: readonly Diagnostic[],
  sources: readonly Source[],
  options: RenderOptions,
): string {
  const files = new Map(sources.map((source) => [source.name, source]));
  const paint = options.color ? colored : (_: Color, text: string) => text;
  return diagnostics.map((diagnostic) => renderOne(diagnostic, files, paint)).join("\n");
}

export interface DiagnosticJson extends PlaceJson {
  readonly code: string;
  readonly severity: Diagnostic["severity"];
  readonly message: string;
  readonly hint?: string;
  readonly fixes?: readonly FixJson[];
  readonly notes?: readonly string[];
  readonly related?: readonly {
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly message: string;
  }[];
}

export interface FixJson {
  readonly title: string;
  readonly edits: readonly (PlaceJson & { readonly text: string })[];
}

interface PlaceJson {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

/** Lines and columns count from 1; the end is exclusive. */
export function diagnosticToJson(diagnostic: Diagnostic, sources: readonly Source[]): DiagnosticJson {
  const { span, code, severity, message, hint, fixes = [], notes = [], related } = diagnostic;
  const files = new Map(sources.map((source) => [source.name, source]));
  return {
    ...placeIn(files, span),
    code,
    severity,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(fixes.length > 0 && {
      fixes: fixes.map(({ title, edits }) => ({
        title,
        edits: edits.map((edit) => ({ ...placeIn(files, edit.span), text: edit.text })),
      })),
    }),
    ...(notes.length > 0 && { notes }),
    ...(related && {
      related: related.map((other) => ({
        file: other.span.file,
        ...positionIn(files, other.span.file, other.span.start),
        message: other.message,
      })),
    }),
  };
}

type Files = ReadonlyMap<string, Source>;
type Color = "red" | "yellow" | "bold" | "dim";
type Paint = (color: Color, text: string) => string;

function renderOne(diagnostic: Diagnostic, files: Files, paint: Paint): string {
  const { span, severity, message, code, hint, notes = [], related = [] } = diagnostic;
  const label = paint(severity === "error" ? "red" : "yellow", `${severity}:`);
  const lines = [
    `${paint("bold", `${printPosition(span, files)}:`)} ${label} ${printable(message)} ${paint("dim", `[${code}]`)}`,
    ...excerpt(span, files, paint),
  ];
  for (const other of related) lines.push(`  ${printPosition(other.span, files)}: ${printable(other.message)}`);
  lines.push(...notes.map((note) => `    ${visible(note)}`));
  if (hint !== undefined) lines.push(`  hint: ${printable(hint)}`);
  return `${lines.join("\n")}\n`;
}

function placeIn(files: Files, { file, start, end }: Span): PlaceJson {
  const { line: endLine, column: endColumn } = positionIn(files, file, end);
  return { file, ...positionIn(files, file, start), endLine, endColumn };
}

/** In a file that is not among the sources, everything is on line 1. */
function positionIn(files: Files, name: string, offset: number): Position {
  const source = files.get(name);
  return positionAt(source ? startsOf(source) : [0], offset);
}

function printPosition(span: Span, files: Files): string {
  const { line, column } = positionIn(files, span.file, span.start);
  return `${printable(span.file)}:${line}:${column}`;
}

const excerptWidthMax = 120;

/** The source line and a line of carets below it. A long line is cut around the span. */
function excerpt(span: Span, files: Files, paint: Paint): string[] {
  const file = files.get(span.file);
  if (!file) return [];
  const { line, column } = positionIn(files, span.file, span.start);
  const whole = lineText(file.text, startsOf(file), line);
  if (whole.trim() === "") return [];
  const from = column > excerptWidthMax - 20 ? column - 40 : 0;
  const shown = whole.slice(from, from + excerptWidthMax);
  const before = shown.slice(0, column - 1 - from);
  const width = Math.max(1, Math.min(span.end - span.start, shown.length - before.length));
  const line1 = visible(shown);
  return [`    ${line1}`, `    ${visible(before).replace(/[^\t]/g, " ")}${paint("red", "^".repeat(width))}`];
}

/** Like `printable`, but keeps the number of characters, so that the carets are aligned. */
function visible(text: string): string {
  return text.replace(/[^\P{Cc}\t]|[\p{Cf}\p{Cs}]/gu, "\u{fffd}");
}

const codes: Readonly<Record<Color, number>> = { red: 31, yellow: 33, bold: 1, dim: 2 };

function colored(color: Color, text: string): string {
  return `\u001b[${codes[color]}m${text}\u001b[0m`;
}
