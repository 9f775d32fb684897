/**
 * Reads and writes YAML, for configuration files. Anchors, aliases, tags, several documents and deep nesting, which
 * settings never need, are rejected with their position: they would hide a mistake or cost much. No message repeats text
 * of the file, which may be secret.
 */
import {
  CST,
  isAlias,
  isCollection,
  isScalar,
  Lexer,
  parseDocument,
  stringify,
  visit,
  type Document,
  type ErrorCode,
  type YAMLParseError,
} from "yaml";

/** The message says what is wrong and how to correct it, without text of the file. */
export class YamlError extends Error {
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;

  constructor(message: string, text: string, offset: number) {
    super(message);
    this.name = "YamlError";
    const lines = text.slice(0, offset).split(/\r\n|\n|\r/);
    this.line = lines.length;
    this.column = (lines.at(-1) ?? "").length + 1;
  }
}

/** Throws `YamlError`. Returns null for a file that has only comments. */
export function parseYaml(text: string): unknown {
  const problem = unprintable(text) ?? deepNesting(text);
  if (problem !== undefined) throw new YamlError(problem.message, text, problem.offset);
  const document = parseDocument(text, {
    ...{ prettyErrors: false, logLevel: "error", stringKeys: true },
    // These apply also if the file names another version of YAML, in which `no` is a boolean.
    ...{ schema: "core", merge: false, resolveKnownTags: false },
  });
  const [first] = [...document.errors, ...document.warnings].toSorted((left, right) => left.pos[0] - right.pos[0]);
  if (first !== undefined)
    throw new YamlError(meaningOf(first.code, first.message), text, openingOf(document, first) ?? first.pos[0]);
  const anchor = firstAnchor(document, text);
  if (anchor !== undefined)
    throw new YamlError(
      `\`&\` or \`*\` begins an anchor or an alias, which settings do not have: ${quote}`,
      text,
      anchor,
    );
  return document.toJS({ maxAliasCount: 0 });
}

export function formatYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0 });
}

interface Problem {
  readonly offset: number;
  readonly message: string;
}

/** Finds control characters such as NUL, which some editors leave after a crash. */
function unprintable(text: string): Problem | undefined {
  const offset = text.search(/[^\t\n\r\u0020-\u007e\u0085\u00a0-\ud7ff\ue000-\u{10ffff}]/u);
  return offset === -1 ? undefined : { offset, message: "a control character is here: remove it" };
}

/** Deeper nesting makes the parser slow, or overflows its stack. */
const nestingMax = 16;

/** Finds deep nesting in brackets or on one line. Indentation cannot nest that deeply in a file of limited size. */
function deepNesting(text: string): Problem | undefined {
  let [offset, inBrackets, onLine, isText] = [0, 0, 0, false];
  for (const token of new Lexer().lex(text)) {
    if (isText) isText = false;
    else if (token === CST.SCALAR) isText = true;
    else if (token === "[" || token === "{") inBrackets++;
    else if (token === "]" || token === "}") inBrackets--;
    else if (token.includes("\n")) onLine = 0;
    else if (inBrackets === 0 && /^[-?:]$/.test(token)) onLine++;
    if (inBrackets > nestingMax || onLine > nestingMax)
      return {
        offset,
        message: `more than ${nestingMax} lists or groups are inside each other: write \`name: value\` lines`,
      };
    // These tokens have no text.
    if (token !== CST.SCALAR && token !== CST.DOCUMENT && token !== CST.FLOW_END) offset += token.length;
  }
  return undefined;
}

/** The position of an unclosed quote or bracket. The package gives that of the expected end, maybe lines later. */
function openingOf(
  document: Document,
  { message, pos: [end] }: Pick<YAMLParseError, "message" | "pos">,
): number | undefined {
  let offset: number | undefined;
  if (!/closing|end with a/.test(message)) return undefined;
  visit(document, {
    Node(_key, node) {
      const isOpened = isCollection(node) ? node.flow === true : isScalar(node) && node.type?.startsWith("QUOTE_");
      if (isOpened === true && node.range?.[1] === end) offset = node.range[0];
    },
  });
  return offset;
}

function firstAnchor(document: Document, text: string): number | undefined {
  let offset: number | undefined;
  visit(document, {
    Node(_key, node) {
      const [start] = node.range ?? [0];
      if (isAlias(node)) offset = start;
      // The range of a value does not include its anchor.
      else if (node.anchor !== undefined) offset = text.lastIndexOf(`&${node.anchor}`, start);
      return offset === undefined ? undefined : visit.BREAK;
    },
  });
  return offset;
}

const quote = "put a value with special characters into single quotes";
const space = "write `name: value`, with a space after the colon";

const unclosed = "the bracket that opens here is not closed: close it with `]` or `}`";

/** The first matching entry is used. Messages of the package may repeat text of the file, so none is shown. */
const meanings: readonly (readonly [code: ErrorCode, message: RegExp, meaning: string])[] = [
  ["MISSING_CHAR", /closing/, "the quote that opens here is not closed: close it"],
  ["MISSING_CHAR", /followed by map values/, `the value of a setting is missing: ${space}`],
  ["MISSING_CHAR", /end with a/, unclosed],
  ["BAD_INDENT", /end with a/, unclosed],
  ["MISSING_CHAR", /Missing ,/, "a comma is missing: separate the values in brackets with `,`"],
  [
    "BAD_INDENT",
    /./,
    "the indentation fits none of the lines above: indent the settings of one group by the same number of spaces",
  ],
  ["TAB_AS_INDENT", /./, "a tab indents this line: use spaces"],
  [
    "BLOCK_AS_IMPLICIT_KEY",
    /./,
    "a second `name:` is part of this value: put the value into quotes, or check the indentation of the next line",
  ],
  ["MULTILINE_IMPLICIT_KEY", /./, `the colon behind a name is missing: ${space}`],
  ["DUPLICATE_KEY", /./, "this name is set a second time: remove one of the two"],
  ["NON_STRING_KEY", /./, `the name of a setting is a word: ${space}`],
  ["MULTIPLE_DOCS", /./, "a second document begins: remove the line `---` and have all settings in one"],
  ["BAD_DQ_ESCAPE", /./, "`\\` begins an unknown escape sequence: use single quotes, or write `\\\\`"],
  ["TAG_RESOLVE_FAILED", /./, `\`!\` begins a tag, which settings do not have: ${quote}`],
  ["BAD_DIRECTIVE", /./, "`%` begins a directive, which settings do not need: remove the line"],
];

function meaningOf(code: ErrorCode, message: string): string {
  const found = meanings.find(([known, pattern]) => known === code && pattern.test(message));
  return found?.[2] ?? `this does not belong here: ${space}, and ${quote}`;
}
