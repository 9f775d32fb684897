/** The pages of the manual in the console: their anchors, links and search. */
import { describe, expect, test } from "bun:test";
import { walkTokens } from "marked";
import { manualPages } from "../../scripts/console-archive.ts";
import { pagesOf, targetOf } from "../../src/console/ui/manual/pages.ts";
import { type Found, search } from "../../src/console/ui/manual/search.ts";
import { must } from "../../src/util/assert.ts";
import { anchorsOf } from "../manual/document.ts";

const file = manualPages();
const pages = pagesOf(file);

test("each page has a title and the anchors that GitHub gives its headings", () => {
  expect(pages.length).toBeGreaterThan(25);
  expect(pages[0]?.title).toBe("Getting started");
  for (const { name, title, anchors } of pages) {
    expect(file[name]).toStartWith(`# ${title}\n`);
    const [, ...others] = anchorsOf(file[name] ?? "");
    expect([name, ...anchors.values()]).toEqual([name, ...new Set([...anchors.values(), ...others])]);
  }
});

test("each link leads to a page and an anchor of it, to another site, or to a file that is no page", () => {
  const none = new Set<string>();
  let count = 0;
  for (const page of pages)
    walkTokens([...page.tokens], (token) => {
      if (token.type !== "link") return;
      const target = targetOf(String(token["href"]), page.name, pages);
      if (target.kind === "none") none.add(String(token["href"]).replace(/#.*/, ""));
      if (target.kind !== "page") return;
      count++;
      const found = pages.find(({ name }) => name === target.page);
      if (target.anchor !== "")
        expect([page.name, [...(found?.anchors.values() ?? [])]]).toEqual([
          page.name,
          expect.arrayContaining([target.anchor]),
        ]);
    });
  expect(count).toBeGreaterThan(200);
  expect([...none].toSorted()).toEqual(["../../src/ARCHITECTURE.md", "../../test/README.md"]);
});

describe("the search", () => {
  const textOf = ({ excerpt }: Found): string => excerpt.map(({ text }) => text).join("");

  test("finds the sections with all words, at most 30", () => {
    const found = search(pages, "oidc audience");
    expect(found.some(({ section }) => section.page === "people")).toBe(true);
    for (const { section } of found) expect(`${section.heading} ${section.text}`).toMatch(/(?=.*oidc)(?=.*audience)/is);
    expect(search(pages, "node")).toHaveLength(30);
    expect(search(pages, "typed-variable-that-nobody-has")).toEqual([]);
    expect([search(pages, " "), search(pages, "-")]).toEqual([[], []]);
  });

  test("has titles first, then headings, then texts", () => {
    const own = pagesOf({
      one: "# Other\n\nA backup, a backup, a backup.\n\n## A heading\n\nbackup",
      two: "# Backup\n\nText.",
      three: "# Third\n\n## Backup\n\nText.",
    });
    const order = search(own, "backup").map(({ section: { page, anchor } }) => [page, anchor]);
    expect(order.slice(0, 2)).toEqual([
      ["two", ""],
      ["three", "backup"],
    ]);
    expect(order).toHaveLength(4);
  });

  test("has whole words before beginnings of words, and these before other parts", () => {
    const own = pagesOf({ a: "# A\n\nThe monkey.", b: "# B\n\nThe keys.", c: "# C\n\nThe key.", d: "# D\n\nNo." });
    expect(search(own, "key").map(({ section }) => section.page)).toEqual(["c", "b", "a"]);
  });

  test.each([
    ["API keys", "keys"],
    ["promote an edge", "high-availability"],
    ["backup", "backup"],
    ["POST /api/batch", "api"],
    ["decision log", "decisions"],
    ["negation", "language"],
  ])("leads with %j to the page %s", (words, page) => {
    expect(search(pages, words)[0]?.section.page).toBe(page);
  });

  test("shows whole words around the hits, and marks the words that have one", () => {
    const own = pagesOf({
      long: `# Long\n\n${"before ".repeat(60)}the **Audience** of \`oidc\` ${"behind ".repeat(60)}`,
    });
    const [found] = search(own, "oidc audi");
    expect(found?.excerpt.filter(({ isHit }) => isHit).map(({ text }) => text)).toEqual(["Audience", "oidc"]);
    const text = textOf(must(found));
    expect(text).toMatch(/^… (?:before )+the Audience of oidc (?:behind )+…$/);
    expect(text.length).toBeLessThan(200);
    for (const words of ["node key", "policy", "lease"])
      for (const each of search(pages, words)) {
        const plain = each.section.text.replaceAll(/\s+/g, " ");
        const shown = textOf(each).replaceAll(/^… | …$/g, "");
        const at = ` ${plain} `.indexOf(shown);
        expect(at).toBeGreaterThan(-1);
        expect(` ${plain} `.slice(at - 1, at + 1)).not.toMatch(/^[\p{L}\p{N}_]{2}$/u);
        expect(` ${plain} `.slice(at + shown.length - 1, at + shown.length + 1)).not.toMatch(/^[\p{L}\p{N}_]{2}$/u);
      }
  });

  test("does not take marks of Markdown for text", () => {
    const own = pagesOf({ a: "# A\n\n| one | two |\n| --- | --- |\n| `x` | [y](z.md) |\n\n- item\n\n<!-- note -->" });
    expect(own[0]?.sections[0]?.text.replaceAll(/\s+/g, " ").trim()).toBe("one two x y item");
  });
});
