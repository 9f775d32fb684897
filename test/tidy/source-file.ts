/** TypeScript files as the tidy rules see them: parsed, with their imports and comments. */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix, resolve } from "node:path";
import { parseSync } from "oxc-parser";
import packageJson from "../../package.json" with { type: "json" };

export interface SourceFile {
  /** From the project's root, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly program: Node;
  readonly comments: readonly { readonly value: string; readonly start: number }[];
  readonly imports: readonly Import[];
}

export interface Import {
  readonly specifier: string;
  /** The file that the specifier names, from the project's root; undefined for a package. */
  readonly path: string | undefined;
  readonly start: number;
  /** Whether the module is loaded together with the one that imports it: `import()` and types load nothing. */
  readonly isLoaded: boolean;
}

/** A node of the syntax tree (ESTree). */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

const conditionalImports: Readonly<Record<string, Readonly<Record<string, string>>>> = packageJson.imports;

const root = resolve(import.meta.dirname, "../..");

export function readSources(): SourceFile[] {
  return ["src", "scripts", "test"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
      .map((entry) => posix.relative(root, join(entry.parentPath, entry.name)))
      .toSorted()
      .map((path) => parseSource(path, readFileSync(join(root, path), "utf8"))),
  );
}

export function parseSource(path: string, text: string): SourceFile {
  const { program, comments, module, errors } = parseSync(path, text);
  const first = errors[0];
  if (first !== undefined) throw new Error(`${path}: ${first.message}`);
  const requests = [
    ...module.staticImports.map(({ moduleRequest: { value, start }, entries }) => ({
      ...{ value, start, isLoaded: entries.length === 0 || entries.some(({ isType }) => !isType) },
    })),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest, isType }) =>
        moduleRequest === null ? [] : { value: moduleRequest.value, start: moduleRequest.start, isLoaded: !isType },
      ),
    ),
    ...module.dynamicImports.map(({ moduleRequest: { start, end } }) => ({
      ...{ value: text.slice(start + 1, end - 1), start, isLoaded: false },
    })),
  ];
  const imports = requests.flatMap(({ value, start, isLoaded }) =>
    resolved(path, value).map((target) => ({ specifier: value, start, path: target, isLoaded })),
  );
  return { path, text, program: program as unknown as Node, comments, imports };
}

/** Every node below and including this one, parents first. */
export function* walk(
  node: Node,
  parent?: Node,
): Generator<{ readonly node: Node; readonly parent: Node | undefined }> {
  yield { node, parent };
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* walk(child, node);
  }
}

export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

export function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Partial<Node>).type === "string";
}

/** The files that a specifier can name: those of `imports` in `package.json` depend on the runtime. */
function resolved(path: string, specifier: string): readonly (string | undefined)[] {
  if (specifier.startsWith("#")) return Object.values(conditionalImports[specifier] ?? {}).map(posix.normalize);
  return [specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : undefined];
}
