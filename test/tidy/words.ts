/** Words that the project does not use, each with the standard term: in file names, identifiers, comments and texts. */
import { basename } from "node:path";
import { lineOf, walk, type SourceFile } from "./source-file.ts";

interface OldWord {
  /** Matches a whole word in lower case; identifiers are split at their capital letters. */
  readonly pattern: RegExp;
  readonly use: string;
  /** Where the word has its usual meaning, or a name of release 0.1.0 has to be read. */
  readonly allowed?: RegExp;
}

const oldWords: readonly OldWord[] = [
  { pattern: /\baside\b/, use: "`offload`, `worker process` or `out of process`" },
  { pattern: /\bcells\b|\bcell (?:aside|pool|name)\b/, use: "`worker process`" },
  { pattern: /\bceilings?\b/, use: "`cost bound`" },
  { pattern: /\bbrought\b/, use: "`request-scoped`" },
  {
    pattern: /\bmemos?\b/,
    use: "`decision cache`; a memo table is in the evaluator only",
    allowed: /engine\/evaluator\/|^src\/console\/ui\/|^src\/ARCHITECTURE\.md$/,
  },
  { pattern: /\btall(?:y|ies)\b/, use: "`counter` or `histogram`" },
  { pattern: /\boutlets?\b/, use: "`publisher` or `transport`" },
  { pattern: /\b(?:un)?seals?\b/, use: "`MAC` or `authenticated`" },
  { pattern: /\bpledge[sd]?\b/, use: "`promise` or `vote`" },
  { pattern: /\bsuccessions?\b/, use: "`term` or `failover`" },
  { pattern: /\bneighbours?\b/, use: "`peer`", allowed: /^(?:src|test)\/polar\// },
  { pattern: /\bnearest miss(?:es)?\b/, use: "`failed attempt`" },
  { pattern: /\borphan(?:s|ed)?\b/, use: "`unused fact`" },
  { pattern: /\bleaps?\b/, use: "`step`" },
  { pattern: /\bfeeds?\b/, use: "`event stream`; a feed of change events is one for clients" },
  { pattern: /\bfollowers?\b/, use: "`replica`" },
  { pattern: /\bcoordination engines?\b/, use: "`coordination service`" },
  {
    pattern: /\bengines?\b/,
    use: "`coordination service`; the engine evaluates policies",
    allowed: /^(?!src\/replication\/lease\/)/,
  },
  { pattern: /\barrivals\b/, use: "`offset waiter` or `delivery`" },
  { pattern: /\bwhoever\b/, use: "the name of the actor" },
  { pattern: /\bof such\b|\bwhich is why\b|\bword of\b/, use: "a sentence with subject, verb and object" },
];

/** Names of release 0.1.0 that stay: routes, members of JSON, states, settings and codes of diagnostics; a flag of Docker. */
const keptNames =
  /^(?:feed|pledge)$|^pledge\?|\bsource feed\b|\bfeed \(|\bfeed_connected\b|\bpledged_to\b|"?`feed`|ostiary feed 1|\bpledged(?:To)?\b|\/pledge\b|\bfeedConnected\b|\bSTALE_FEED\b|\bfact\/orphaned\b|\bchange feeds?\b|\bfeeds? of change events\b|--remove-orphans\b/g;
/** Files whose subject are the old names. */
const nameFiles =
  /^(?:src\/config\/renamed-settings\.ts|test\/tidy\/words\.ts|test\/tidy\.test\.ts|test\/releases\/.*|test\/cli\/command-line\.test\.ts|test\/config\/load\.test\.ts)$/;

export function checkWords(file: SourceFile, words = oldWords): string[] {
  if (nameFiles.test(file.path)) return [];
  const texts = [{ text: basename(file.path).replaceAll("-", " "), start: 0 }, ...textsOf(file)];
  return texts.flatMap(({ text, start }) =>
    oldWordsIn(text, file.path, words).map((problem) => `${file.path}:${lineOf(file.text, start)}: ${problem}`),
  );
}

/** The old words in a text of the file at `path`, each with the standard term. */
export function oldWordsIn(text: string, path: string, words = oldWords): string[] {
  const plain = spaced(text.replace(keptNames, " "));
  return words
    .filter(({ pattern, allowed }) => pattern.test(plain) && allowed?.test(path) !== true)
    .map(({ pattern, use }) => `\`${pattern.exec(plain)?.[0]}\`: say ${use}`);
}

/** Identifiers, texts and comments. */
function textsOf(file: SourceFile): { readonly text: string; readonly start: number }[] {
  const found = file.comments.map(({ value, start }) => ({ text: value, start }));
  for (const { node } of walk(file.program)) {
    if (node.type === "Identifier" || node.type === "PrivateIdentifier")
      found.push({ text: String(node["name"]), start: node.start });
    if (node.type === "Literal" && typeof node["value"] === "string")
      found.push({ text: node["value"], start: node.start });
    if (node.type === "TemplateElement")
      found.push({ text: (node["value"] as { cooked?: string }).cooked ?? "", start: node.start });
  }
  return found;
}

/** In lower case, with identifiers split into their words. */
function spaced(text: string): string {
  return text
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/[_\n]\s*\*?\s*/g, " ")
    .toLowerCase();
}
