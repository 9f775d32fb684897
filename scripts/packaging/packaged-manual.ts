/**
 * The manual as it is in packages and bundles: its pages and images, and the page about the language, in one folder.
 * Links between them work there. Of a link to another file of the repository only its text remains.
 */
import * as Bun from "bun";
import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { projectRoot } from "../built-binary.ts";

const folder = "appliance/manual/";
const languagePage = "src/polar/LANGUAGE.md";

/** The files by their paths in the folder of the manual, with `/`. */
export function packagedManual(): ReadonlyMap<string, string | Uint8Array> {
  const paths = [...new Bun.Glob("**/*.{md,png}").scanSync(join(projectRoot, folder))].toSorted();
  const sources = [...paths.map((path) => `${folder}${path}`), languagePage];
  return new Map(
    sources.map((source) => {
      const content = readFileSync(join(projectRoot, source));
      return [
        nameOf(source) ?? "",
        source.endsWith(".md") ? withPackagedLinks(content.toString(), source, "") : content,
      ];
    }),
  );
}

/**
 * The text of a file at `source` in the repository, with the links that it has in a package. `manual` is the path from
 * there to the manual: empty, or with a `/` at the end.
 */
export function withPackagedLinks(text: string, source: string, manual: string): string {
  return text.replaceAll(/\[([^\]]*)\]\(([^)\s]+)\)/g, (link, shown: string, target: string) => {
    if (/^(?:https?:|#)/.test(target)) return link;
    const [file = "", anchor] = target.split("#");
    const name = nameOf(posix.join(posix.dirname(source), file));
    if (name === undefined) return shown;
    return `[${shown}](${manual}${name}${anchor === undefined ? "" : `#${anchor}`})`;
  });
}

/** The name in the folder of the manual; undefined for other files of the repository. */
function nameOf(path: string): string | undefined {
  if (path === languagePage) return "language.md";
  return path.startsWith(folder) ? path.slice(folder.length) : undefined;
}
