/** What must not be in the code at all, each with the reason or with what to use instead. */
import { basename } from "node:path";
import { isNode, lineOf, walk, type Node, type SourceFile } from "./source-file.ts";

interface Ban {
  readonly why: string;
  readonly applies?: (path: string) => boolean;
  readonly matches: (node: Node) => boolean;
}

const inSource = (path: string): boolean => path.startsWith("src/");
const inBrowser = (path: string): boolean => path.startsWith("src/console/ui/");
const inPure = (path: string): boolean => /^src\/(?:polar|datalog)\//.test(path);

/** Files of the folders that compare terms which write JSON for others: databases, messages and clients. */
const jsonWriters: readonly string[] = [
  // The name of a closure in databases.
  "src/datalog/ir/closure.ts",
  // The order in which closures are composed, on which their names depend.
  "src/datalog/specialise/closure-components.ts",
  // What digests are computed from.
  "src/log/state/digest.ts",
  // Questions for worker processes, string literals of TypeScript.
  "src/engine/request/questions.ts",
  "src/policy/typescript.ts",
  // The trailer of a stored policy.
  "src/policy/stored-policy.ts",
  // Responses, and digests of them.
  "src/engine/request/list-result.ts",
  "src/engine/workers/engine-worker.ts",
  "src/engine/workers/answer-parts.ts",
];
const comparesTerms = (path: string): boolean =>
  /^src\/(?:datalog|policy|log\/derived|log\/state|engine)\//.test(path) && !jsonWriters.includes(path);

const bans: readonly Ban[] = [
  {
    why: "JSON is no key of a term: use the key functions (`datalog/ir/key.ts`, `policy/keys.ts`)",
    applies: comparesTerms,
    matches: (node) => isMember(node, "JSON", "stringify"),
  },
  { why: "`any` turns the checks off: say the type, or `unknown`", matches: ({ type }) => type === "TSAnyKeyword" },
  { why: "no enums: a union of literals says the same", matches: ({ type }) => type === "TSEnumDeclaration" },
  {
    why: "no namespaces: files are modules",
    matches: ({ type }) => type === "TSModuleDeclaration",
    applies: (path) => !path.endsWith(".d.ts"),
  },
  {
    why: "no console in src/: use the logger, or print of runtime/process.ts",
    applies: inSource,
    matches: (node) => isMember(node, "console"),
  },
  {
    why: "a browser has none of it",
    applies: inBrowser,
    matches: (node) => ["Bun", "Buffer", "process"].some((name) => isMember(node, name)),
  },
  {
    why: "pure: no clock",
    applies: inPure,
    matches: (node) => isMember(node, "Date") || isMember(node, "performance") || creates(node, "Date"),
  },
  {
    why: "pure: no randomness",
    applies: inPure,
    matches: (node) => isMember(node, "Math", "random") || isMember(node, "crypto"),
  },
  {
    why: "pure: knows no process",
    applies: inPure,
    matches: (node) => isMember(node, "process") || isMember(node, "globalThis"),
  },
  {
    why: "the words of the console are in `src/console/ui/texts`",
    applies: (path) => path.startsWith("src/console/ui/"),
    matches: isShownText,
  },
  {
    why: "no random test without a seed: take it from `test/seeds.ts`, so that a run can be repeated",
    applies: (path) => path.startsWith("test/"),
    matches: isWithoutSeed,
  },
  { why: "a test that is left out or alone: mend it or take it away", matches: isLeftOut },
];

const commentBans: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  { pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/, why: "nothing is left for later in the code: do it, or file an issue" },
  {
    pattern: /@ts-(?:ignore|expect-error|nocheck)|(?:eslint|oxlint)-disable/,
    why: "checks are not turned off: mend what they complain of",
  },
];

const fileNameBans = /^(?:index|utils?|types?|helpers?|common|misc)\.tsx?$/;
const machinePath = new RegExp(["", "work", "(?:main|shared)"].join("/"));

/** What a file of `src/` must not name: any JavaScript runtime, or in the folder of one runtime the others. */
function foreignRuntimeOf(path: string): RegExp | undefined {
  // It lists the runtimes.
  if (!path.startsWith("src/") || path === "src/runtime/platform.ts") return undefined;
  if (path.startsWith("src/runtime/bun/")) return /\bDeno\b/i;
  if (path.startsWith("src/runtime/deno/")) return /\bBun\b/i;
  return /\b(?:Bun|Deno)\b/i;
}

export function checkBans(file: SourceFile): string[] {
  const at = (offset: number): string => `${file.path}:${lineOf(file.text, offset)}: `;
  const problems = nameProblems(file.path);
  for (const { node } of walk(file.program)) {
    for (const ban of bans)
      if ((ban.applies?.(file.path) ?? true) && ban.matches(node)) problems.push(at(node.start) + ban.why);
  }
  for (const comment of file.comments) {
    for (const { pattern, why } of commentBans) if (pattern.test(comment.value)) problems.push(at(comment.start) + why);
  }
  for (const { specifier, start } of file.imports) {
    if (specifier.startsWith(".") && !/\.\w+$/.test(specifier))
      problems.push(`${at(start)}\`${specifier}\` lacks its ending (\`.ts\`)`);
  }
  const machine = machinePath.exec(file.text);
  if (machine !== null) problems.push(`${at(machine.index)}a path of somebody's machine`);
  const runtime = foreignRuntimeOf(file.path)?.exec(file.text);
  if (runtime) problems.push(`${at(runtime.index)}only src/runtime/${runtime[0].toLowerCase()}/ knows this runtime`);
  return problems;
}

function nameProblems(path: string): string[] {
  const name = basename(path);
  const problems: string[] = [];
  if (fileNameBans.test(name)) problems.push(`${path}: a file is named by its one idea, not \`${name}\``);
  if (!/^[a-z0-9]+(?:-[a-z0-9]+)*(?:(?:\.integration|\.full)?\.test|\.d)?\.tsx?$/.test(name))
    problems.push(`${path}: file names are kebab-case`);
  return problems;
}

/** `object.property`; any property where none is named. */
function isMember(node: Node, object: string, property?: string): boolean {
  if (node.type !== "MemberExpression" || !isIdentifier(node["object"], object)) return false;
  return property === undefined || isIdentifier(node["property"], property);
}

function creates(node: Node, name: string): boolean {
  return node.type === "NewExpression" && isIdentifier(node["callee"], name);
}

/** Words between tags, or in an attribute that is shown or read out. */
function isShownText(node: Node): boolean {
  const hasWords = (value: unknown): boolean => typeof value === "string" && /\p{L}{2}/u.test(value);
  if (node.type === "JSXText") return hasWords(node["value"]);
  const [name, value] = [node["name"], node["value"]];
  if (node.type === "JSXExpressionContainer") return isNode(node["expression"]) && isWords(node["expression"]);
  if (node.type !== "JSXAttribute" || !isNode(name) || !isNode(value)) return false;
  return shownAttributes.has(String(name["name"])) && isWords(value);

  function isWords(literal: Node): boolean {
    return literal.type === "Literal" && hasWords(literal["value"]);
  }
}

const shownAttributes: ReadonlySet<string> = new Set(["alt", "aria-label", "label", "placeholder", "title"]);

/** `test.skip(`, `describe.only(`, `test.todo(` and the like. `skipIf(condition)` stays: it tells why by its condition. */
function isLeftOut(node: Node): boolean {
  const callee = node["callee"];
  if (node.type !== "CallExpression" || !isNode(callee) || callee.type !== "MemberExpression") return false;
  if (!["only", "skip", "todo", "failing"].some((name) => isIdentifier(callee["property"], name))) return false;
  return ["test", "describe", "it"].some((name) => isIdentifier(callee["object"], name));
}

function isIdentifier(value: unknown, name: string): boolean {
  return isNode(value) && value.type === "Identifier" && value["name"] === name;
}

/** `fc.assert(property)` whose last parameter has no seed. A variable may have one. */
function isWithoutSeed(node: Node): boolean {
  const { callee, arguments: given } = node;
  if (node.type !== "CallExpression" || !isNode(callee) || !Array.isArray(given)) return false;
  if (!["assert", "check", "sample"].some((name) => isMember(callee, "fc", name))) return false;
  const last: unknown = given.at(-1);
  if (!isNode(last) || last.type === "Identifier") return false;
  const properties: readonly unknown[] = Array.isArray(last["properties"]) ? last["properties"] : [];
  return !properties.some(
    (property) => isNode(property) && (property.type === "SpreadElement" || isIdentifier(property["key"], "seed")),
  );
}
