/** The pages of the manual, which the build puts into one file: their sections, anchors and a search. Pure. */
import { Lexer, type Token, type Tokens } from "marked";

/** The Markdown of each page by its name, as the file has it. */
export type ManualFile = Readonly<Record<string, string>>;

export interface Section {
  readonly page: string;
  /** Empty for the text before the first heading below the title. */
  readonly anchor: string;
  readonly heading: string;
  /** In lower case, for the search. */
  readonly text: string;
}

export interface ManualPage {
  readonly name: string;
  readonly title: string;
  /** Without the title. */
  readonly tokens: readonly Token[];
  /** The anchor of each heading. */
  readonly anchors: ReadonlyMap<Token, string>;
  readonly sections: readonly Section[];
}

const firstPage = "getting-started";

/** The pages: first how to start, then by title. */
export function pagesOf(file: ManualFile): readonly ManualPage[] {
  const pages = Object.entries(file).map(([name, text]) => pageOf(name, text));
  const rank = ({ name }: ManualPage): number => (name === firstPage ? 0 : 1);
  return pages.toSorted((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title, "en"));
}

function pageOf(name: string, text: string): ManualPage {
  const [first, ...tokens] = new Lexer({ gfm: true }).lex(text);
  const title = first?.type === "heading" ? textOf(first) : name;
  const anchors = new Map<Token, string>();
  const sections: { page: string; anchor: string; heading: string; text: string }[] = [
    { page: name, anchor: "", heading: title, text: "" },
  ];
  const used = new Set<string>();
  for (const token of tokens) {
    if (token.type === "heading") {
      const anchor = unused(anchorOf(textOf(token)), used);
      anchors.set(token, anchor);
      sections.push({ page: name, anchor, heading: textOf(token), text: "" });
    }
    const section = sections.at(-1);
    if (section !== undefined && token.type !== "html") section.text += token.raw.toLowerCase();
  }
  return { name, title, tokens, anchors, sections };
}

/** The text of a heading, without its marks. */
function textOf(token: Token): string {
  const { tokens = [], text = "" } = token as Tokens.Generic & { readonly text?: string };
  return tokens.length === 0 ? text : tokens.map(textOf).join("");
}

/** As GitHub makes it, so that links work there as well. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
    .trim()
    .replaceAll(" ", "-");
}

function unused(anchor: string, used: Set<string>): string {
  let name = anchor;
  for (let count = 1; used.has(name); count++) name = `${anchor}-${count}`;
  used.add(name);
  return name;
}

/** Where a link leads. */
export type LinkTarget =
  | { readonly kind: "page"; readonly page: string; readonly anchor: string }
  | { readonly kind: "web"; readonly url: string }
  // A file that is no page of the manual.
  | { readonly kind: "none" };

/** `href` is relative to the file of the page. */
export function targetOf(href: string, page: string, pages: readonly ManualPage[]): LinkTarget {
  if (/^https?:\/\//.test(href)) return { kind: "web", url: href };
  const [path = "", anchor = ""] = href.split("#");
  const name = path === "" ? page : (path.split("/").at(-1) ?? "").replace(/\.md$/, "").toLowerCase();
  return pages.some((each) => each.name === name) ? { kind: "page", page: name, anchor } : { kind: "none" };
}

export interface Found {
  readonly section: Section;
  /** The text around the first word. */
  readonly excerpt: string;
}

const foundMax = 30;
const excerptBefore = 40;
const excerptLength = 160;

/** The sections that have all words: first those with the words in the heading. */
export function search(pages: readonly ManualPage[], words: string): readonly Found[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return [];
  const hasAll = (text: string): boolean => wanted.every((word) => text.includes(word));
  const rank = ({ heading }: Section): number => (hasAll(heading.toLowerCase()) ? 0 : 1);
  return pages
    .flatMap(({ sections }) => sections)
    .filter(({ text }) => hasAll(text))
    .toSorted((a, b) => rank(a) - rank(b))
    .slice(0, foundMax)
    .map((section) => ({ section, excerpt: excerptOf(section.text, wanted[0] ?? "") }));
}

function excerptOf(text: string, word: string): string {
  const start = Math.max(0, text.indexOf(word) - excerptBefore);
  return text
    .slice(start, start + excerptLength)
    .replaceAll(/[\s|`*#>[\]-]+/g, " ")
    .trim();
}
