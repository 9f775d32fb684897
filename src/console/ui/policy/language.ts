/** Polar for the editor: highlighting, indentation and brackets. Pure: it needs no document. */
import { type StreamParser, StreamLanguage } from "@codemirror/language";

/** Words that begin or connect statements. Most of them may be names in other places, where they look the same. */
export const keywords = [
  ...["actor", "resource", "extends", "global", "declare", "test", "fixture", "setup", "assert", "assert_not", "iff"],
  ...["if", "and", "or", "not", "in", "matches", "on", "forall"],
] as const;

const keywordSet: ReadonlySet<string> = new Set(keywords);
const members: ReadonlySet<string> = new Set(["roles", "permissions", "relations"]);
const identifier = /[_\p{L}][\p{L}\p{N}_]*(?:::[_\p{L}][\p{L}\p{N}_]*)*\??/u;

interface State {
  /** How many brackets are open. */
  depth: number;
}

export const polarParser: StreamParser<State> = {
  name: "polar",
  startState: () => ({ depth: 0 }),
  token(stream, state) {
    if (stream.eatSpace()) return null;
    if (stream.match(/#.*/)) return "comment";
    if (stream.match(/"(?:[^"\\]|\\.)*"?/)) return "string";
    if (stream.match(/[+-]?\d+/)) return "number";
    if (stream.match(/@[\p{L}_][\p{L}\p{N}_]*/u)) return "atom";
    if (stream.match(identifier)) return wordKind(stream.current(), /^\s*\(/.test(stream.string.slice(stream.pos)));
    const character = stream.next() ?? "";
    if ("{[(".includes(character)) state.depth += 1;
    else if ("}])".includes(character)) state.depth = Math.max(0, state.depth - 1);
    return "punctuation";
  },
  indent: (state, textAfter, context) =>
    Math.max(0, state.depth - (/^\s*[}\])]/.test(textAfter) ? 1 : 0)) * context.unit,
  languageData: {
    commentTokens: { line: "#" },
    closeBrackets: { brackets: ["(", "[", "{", '"'] },
    indentOnInput: /^\s*[}\])]$/,
  },
};

function wordKind(word: string, isCall: boolean): string {
  if (word === "true" || word === "false") return "atom";
  if (members.has(word)) return "propertyName";
  if (keywordSet.has(word) && !(isCall && word !== "if" && word !== "not" && word !== "and" && word !== "or"))
    return "keyword";
  if (isCall) return "variableName.function";
  return /^\p{Lu}/u.test(word) ? "typeName" : "variableName";
}

export const polar = StreamLanguage.define(polarParser);
