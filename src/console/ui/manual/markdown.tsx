/** Markdown as components: elements and text nodes only, whatever is in the text. */
import type { Token, Tokens } from "marked";
import { Fragment } from "preact";
import { routeTo } from "../state/route.ts";
import { manualTexts } from "../texts/manual.ts";
import { type ManualPage, targetOf } from "./pages.ts";

export interface MarkdownProps {
  readonly page: ManualPage;
  readonly pages: readonly ManualPage[];
}

export function Markdown(props: MarkdownProps) {
  return <Tokens tokens={props.page.tokens} {...props} />;
}

function Tokens({ tokens = [], ...props }: MarkdownProps & { readonly tokens: readonly Token[] | undefined }) {
  return (
    <>
      {tokens.map((token, index) => (
        <Element key={index} token={token} {...props} />
      ))}
    </>
  );
}

function Element({ token, ...props }: MarkdownProps & { readonly token: Token }) {
  const children = <Tokens tokens={"tokens" in token ? token.tokens : undefined} {...props} />;
  switch (token.type) {
    case "heading":
      return (
        <SectionHeading
          depth={token["depth"] as number}
          anchor={props.page.anchors.get(token) ?? ""}
          content={children}
        />
      );
    case "paragraph":
      return <p>{children}</p>;
    case "strong":
      return <strong>{children}</strong>;
    case "em":
      return <em>{children}</em>;
    case "codespan":
      return <code>{(token as Tokens.Codespan).text.replaceAll("\n", " ")}</code>;
    case "code":
      return <CodeBlock text={(token as Tokens.Code).text} />;
    case "blockquote":
      return <blockquote>{children}</blockquote>;
    case "list":
      return <List list={token as Tokens.List} {...props} />;
    case "table":
      return <Table table={token as Tokens.Table} {...props} />;
    case "link":
      return <Link href={(token as Tokens.Link).href} content={children} {...props} />;
    case "br":
      return <br />;
    case "hr":
      return <hr />;
    // Comments for programs that write parts of the pages, and screenshots of what is one click away.
    case "html":
    case "image":
    case "space":
      return null;
    default:
      // A line break of the source is a space.
      return "tokens" in token ? children : <>{(token as Tokens.Text).text.replaceAll("\n", " ")}</>;
  }
}

function SectionHeading(props: {
  readonly depth: number;
  readonly anchor: string;
  readonly content: preact.JSX.Element;
}) {
  const { depth, anchor, content } = props;
  const attributes = { id: sectionId(anchor), tabIndex: -1 };
  if (depth <= 2) return <h2 {...attributes}>{content}</h2>;
  return depth === 3 ? <h3 {...attributes}>{content}</h3> : <h4 {...attributes}>{content}</h4>;
}

/** The id of the element of a section. Other elements of the page have no such prefix. */
export function sectionId(anchor: string): string {
  return `section-${anchor}`;
}

/** It scrolls by itself, so the keyboard has to reach it. */
function CodeBlock({ text }: { readonly text: string }) {
  return (
    <pre tabIndex={0} role="region" aria-label={manualTexts.code}>
      <code>{text}</code>
    </pre>
  );
}

function List({ list, ...props }: MarkdownProps & { readonly list: Tokens.List }) {
  const items = list.items.map((item, index) => (
    <li key={index}>
      <Tokens tokens={item.tokens} {...props} />
    </li>
  ));
  return list.ordered ? <ol start={list.start === "" ? 1 : list.start}>{items}</ol> : <ul>{items}</ul>;
}

function Table({ table, ...props }: MarkdownProps & { readonly table: Tokens.Table }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={manualTexts.table}>
      <table>
        <thead>
          <tr>
            {table.header.map(({ tokens }, index) => (
              <th key={index} scope="col">
                <Tokens tokens={tokens} {...props} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            <tr key={index}>
              {row.map(({ tokens }, column) => (
                <td key={column}>
                  <Tokens tokens={tokens} {...props} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Link({
  href,
  content,
  page,
  pages,
}: MarkdownProps & { readonly href: string; readonly content: preact.JSX.Element }) {
  const target = targetOf(href, page.name, pages);
  if (target.kind === "none") return <Fragment>{content}</Fragment>;
  if (target.kind === "page") {
    const parts = target.anchor === "" ? [target.page] : [target.page, target.anchor];
    return <a href={routeTo("manual", parts)}>{content}</a>;
  }
  return (
    <a href={target.url} target="_blank" rel="noreferrer">
      {content}
    </a>
  );
}
