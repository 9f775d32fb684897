/** The pages of the manual in the console: their anchors, links and search. */
import { expect, test } from "bun:test";
import { walkTokens } from "marked";
import { manualPages } from "../../scripts/console-archive.ts";
import { pagesOf, search, targetOf } from "../../src/console/ui/manual/pages.ts";
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
  expect([...none].toSorted()).toEqual(["../../README.md", "../../src/ARCHITECTURE.md", "../../test/README.md"]);
});

test("the search finds sections with all words, those with a matching heading first", () => {
  const [first] = search(pages, "  Promote ");
  expect(first?.section.heading.toLowerCase()).toContain("promote");
  const found = search(pages, "typed-variable-that-nobody-has");
  expect(found).toEqual([]);
  const tokens = search(pages, "oidc audience");
  expect(tokens.some(({ section }) => section.page === "people")).toBe(true);
  expect(tokens.length).toBeLessThanOrEqual(30);
  for (const { section } of tokens) expect(section.text).toMatch(/(?=.*oidc)(?=.*audience)/s);
  expect(search(pages, " ")).toEqual([]);
});
