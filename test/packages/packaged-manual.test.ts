/** The manual in packages and bundles is complete, and its links lead somewhere without the repository. */
import { expect, test } from "bun:test";
import { posix } from "node:path";
import { packagedManual, withPackagedLinks } from "../../scripts/packaging/packaged-manual.ts";
import { anchorsOf, linksOf, sourceOf } from "../manual/document.ts";

const manual = packagedManual();
const page = (name: string): string => String(manual.get(name) ?? "");

/** The links of a text at `path` that lead nowhere, if the manual is in the folder `at`. */
function brokenLinks(text: string, path: string, at: string): string[] {
  const inside = linksOf(text).filter((target) => !/^https?:/.test(target));
  expect(inside.length).toBeGreaterThan(0);
  return inside.filter((target) => {
    const [file = "", anchor] = target.split("#");
    const found = file === "" ? path : posix.join(posix.dirname(path), file);
    const name = found.slice(at.length);
    const isThere = found.startsWith(at) && manual.has(name);
    return !isThere || (anchor !== undefined && !anchorsOf(page(name)).has(anchor));
  });
}

test("its pages have links to each other only", () => {
  const names = [...manual.keys()].filter((name) => name.endsWith(".md"));
  expect(names).toContain("language.md");
  expect(names.length).toBeGreaterThan(25);
  expect(names.flatMap((name) => brokenLinks(page(name), name, "").map((link) => `${name}: ${link}`))).toEqual([]);
  expect(page("policies.md")).toContain("](language.md");
});

test("the changelog beside it, too", () => {
  const text = withPackagedLinks(sourceOf("CHANGELOG.md"), "CHANGELOG.md", "manual/");
  expect(brokenLinks(text, "CHANGELOG.md", "manual/")).toEqual([]);
});

test("of a link to another file the text remains, and addresses stay", () => {
  const text =
    "[how to](test/README.md#x), [here](#there), [b](https://example.org), ![c](appliance/manual/images/c.png)";
  expect(withPackagedLinks(text, "README.md", "manual/")).toBe(
    "how to, [here](#there), [b](https://example.org), ![c](manual/images/c.png)",
  );
});
