/** The pages of the manual, which the build puts into one file: their sections, anchors and links. Pure. */
import { Lexer, type Token, type Tokens } from "marked";

/** The Markdown of each page by its name, as the file has it. */
export type ManualFile = Readonly<Record<string, string>>;

export interface Section {
  readonly page: string;
  /** Empty for the text before the first heading below the title. */
  readonly anchor: string;
  readonly heading: string;
  /** Without marks, for the search. */
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
    if (section !== undefined && token.type !== "heading") section.text += plainText(token);
  }
  return { name, title, tokens, anchors, sections };
}

/** The text of a heading, without its marks. */
function textOf(token: Token): string {
  const { tokens = [], text = "" } = token as Tokens.Generic & { readonly text?: string };
  return tokens.length === 0 ? text : tokens.map(textOf).join("");
}

/** The text of a block without its marks. Blocks are apart from each other. */
function plainText(token: Token): string {
  switch (token.type) {
    // Comments for programs, and screenshots.
    case "html":
    case "image":
      return "";
    case "list":
      return (token as Tokens.List).items.map(plainText).join("");
    case "table": {
      const { header, rows } = token as Tokens.Table;
      return [header, ...rows].flatMap((row) => row.map(({ tokens }) => `${tokens.map(plainText).join("")} `)).join("");
    }
    default: {
      const { tokens, text = "" } = token as Tokens.Generic & { readonly text?: string };
      const content = tokens === undefined ? text : tokens.map(plainText).join("");
      return blocks.has(token.type) ? `${content} ` : content;
    }
  }
}

const blocks: ReadonlySet<string> = new Set(["paragraph", "code", "blockquote", "list_item", "text", "space", "br"]);

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
