/**
 * The copyright file of the Debian package, in the machine-readable format of Debian: one paragraph for each component
 * inside the program, and each license once.
 */
import type { LicensedComponent } from "../../src/cli/licenses.ts";
import { idsOf, standardText } from "../licenses/standard-texts.ts";

/** Licenses whose text every Debian system has in /usr/share/common-licenses, by the name of the file there. */
const common: Readonly<Record<string, string>> = {
  "Apache-2.0": "Apache-2.0",
  "LGPL-2.0-or-later": "LGPL-2",
  "LGPL-2.1-or-later": "LGPL-2.1",
  "MPL-2.0": "MPL-2.0",
};

export function debianCopyright([own, ...others]: readonly LicensedComponent[]): string {
  if (own === undefined) throw new Error("there are no components");
  const ids = [own, ...others].flatMap(({ license, name }) => idsOf(license, name));
  return [
    [
      "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/",
      "Upstream-Name: ostiary",
      "Source: the repository of Ostiary, at the commit that `ostiary version` prints",
      "Comment: The program is one file that contains all components below. `ostiary licenses` prints the whole texts of",
      " their licenses, with all notices.",
    ].join("\n"),
    filesOf("*", ["the Ostiary contributors"], own.license),
    ...others.map((component) => filesOf(patternOf(component), copyrightsOf(component), component.license)),
    ...[...new Set(ids)].toSorted().map(licenseOf),
  ]
    .join("\n\n")
    .concat("\n");
}

const filesOf = (pattern: string, copyrights: readonly string[], license: string): string =>
  `Files: ${pattern}\nCopyright: ${copyrights.join("\n  ")}\nLicense: ${debianExpression(license)}`;

function patternOf({ name, partOf }: LicensedComponent): string {
  return partOf === "program"
    ? `node_modules/${name}/*`
    : `bun/${name.toLowerCase().replaceAll(/[^a-z0-9+]+/g, "-")}/*`;
}

/** The lines of the license's text that name an owner. */
function copyrightsOf({ text, name }: LicensedComponent): string[] {
  const lines = text.matchAll(/^[ \t*]*copyright(?::|(?=\s+(?:\(c\)|©|\d{4})))\s*(?:\(c\)|©)?\s*(.+)$/gim);
  const owners = new Set([...lines].map(([, owner = ""]) => owner.trim()));
  return owners.size === 0 ? [`the authors of ${name}`] : [...owners];
}

const debianExpression = (license: string): string =>
  license.replaceAll(" AND ", " and ").replaceAll(" OR ", " or ").replaceAll(" WITH LLVM-exception", "");

function licenseOf(id: string): string {
  const file = common[id];
  const text =
    file === undefined
      ? standardText(id, "see above", id).replace(/^Copyright: see above\n+/, "")
      : `On Debian systems the text of this license is in /usr/share/common-licenses/${file}.`;
  const lines = text.split("\n").map((line) => (line.trim() === "" ? " ." : ` ${line.trimEnd()}`));
  return `License: ${id}\n${lines.join("\n")}`;
}
