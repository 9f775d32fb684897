/**
 * Builds the client package for applications: `dist/redundant-fetch.js` and `dist/local-sql.js`, plain JavaScript in one
 * file each for all runtimes, and their declarations. npm runs it as well, when it installs the package from a git checkout or packs it (`prepare` in
 * package.json).
 *
 * Bun bundles, but writes no declarations. The declarations of an entry file are its exports with their comments and
 * without bodies; types in an exported declaration must be exported from that file as well, or belong to the platform.
 */
import * as Bun from "bun";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseSync, type Comment, type Statement } from "oxc-parser";

const root = resolve(import.meta.dirname, "..");
const names = ["redundant-fetch", "local-sql"];

export async function buildClientPackage(folder = join(root, "dist")): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const name of names) {
    const entry = join("src", "client", `${name}.ts`);
    const built = await Bun.build({ entrypoints: [join(root, entry)], target: "browser", format: "esm" });
    const [output] = built.outputs;
    if (output === undefined) throw new Error(`bundling ${entry} gave nothing`);
    writeWhole(join(folder, `${name}.js`), await output.text());
    writeWhole(join(folder, `${name}.d.ts`), declarationsOf(entry, readFileSync(join(root, entry), "utf8")));
  }
}

/** Writes a temporary file first, so that no program reads a part. */
function writeWhole(path: string, text: string): void {
  const unfinished = `${path}.${process.pid}`;
  writeFileSync(unfinished, text);
  renameSync(unfinished, path);
}

export function declarationsOf(path: string, text: string): string {
  const { program, comments, errors } = parseSync(path, text);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${path}: ${error.message}`);
  return program.body.flatMap((statement) => declarationOf(text, statement, comments)).join("\n");
}

function declarationOf(text: string, statement: Statement, comments: readonly Comment[]): string[] {
  if (statement.type !== "ExportNamedDeclaration") return [];
  const { declaration } = statement;
  const comment = comments.find(({ end }) => end < statement.start && text.slice(end, statement.start).trim() === "");
  const lead = comment === undefined ? "" : `${text.slice(comment.start, comment.end)}\n`;
  switch (declaration?.type) {
    case "TSInterfaceDeclaration":
    case "TSTypeAliasDeclaration":
      return [`${lead}${text.slice(statement.start, statement.end)}\n`];
    case "FunctionDeclaration": {
      const { id, typeParameters, params, returnType } = declaration;
      if (id === null || returnType === null || returnType === undefined) break;
      const types = typeParameters ? source(text, typeParameters) : "";
      const parameters = params.map((parameter) => parameterOf(text, parameter)).join(", ");
      return [`${lead}export declare function ${id.name}${types}(${parameters})${source(text, returnType)};\n`];
    }
  }
  throw new Error(`an export that is neither an interface, a type, nor a function with a return type: ${lead}`);
}

interface Span {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** The parameter `name: T = value` is optional, so it is declared as `name?: T`. */
function parameterOf(text: string, parameter: Span & { readonly left?: Span }): string {
  if (parameter.type !== "AssignmentPattern" || parameter.left === undefined) return source(text, parameter);
  return source(text, parameter.left).replace(":", "?:");
}

const source = (text: string, { start, end }: Span): string => text.slice(start, end);

if (import.meta.main) await buildClientPackage();
