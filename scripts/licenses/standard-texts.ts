/** The texts of standard licenses by their SPDX identifier, for components that come without a file of their own. */
import standardLicenses from "spdx-license-list/full.js";

const byId: Readonly<Record<string, { readonly licenseText: string } | undefined>> = standardLicenses;

/** Exceptions of SPDX that components use; they have a text of their own, which adds permissions only. */
const exceptions: readonly string[] = ["LLVM-exception"];

/** The identifiers in an SPDX expression. Throws an error that names the component if one of them is not known. */
export function idsOf(expression: string, component: string): string[] {
  const words = expression
    .replaceAll(/[()]/g, " ")
    .split(/\s+/)
    .filter((word) => word !== "");
  const ids = words.filter((word) => !["AND", "OR", "WITH"].includes(word));
  const unknown = ids.filter((id) => byId[id] === undefined && !exceptions.includes(id));
  if (ids.length === 0 || unknown.length > 0)
    throw new Error(
      `${component} has no license that SPDX knows: \`${expression}\`; do not use it, or name its license in scripts/licenses`,
    );
  return ids.filter((id) => !exceptions.includes(id));
}

/** The texts of all licenses of an expression, with the copyright holder. Throws an error for an unknown license. */
export function standardText(expression: string, copyright: string, component: string): string {
  const texts = idsOf(expression, component).map((id) => byId[id]?.licenseText.trim() ?? "");
  return [`Copyright: ${copyright}`, ...texts.map(withoutPlaceholders)].join("\n\n");
}

/** The lines with places for the year and the name, which the first line of the text gives. */
function withoutPlaceholders(text: string): string {
  const placeholder =
    /^ *copyright.*(?:<(?:year|name|owner|copyright|holder)|YEAR by AUTHOR|Internet (?:Systems|Software) Consortium)/i;
  const lines = text.split("\n").filter((line) => !placeholder.test(line));
  return lines.join("\n").trim();
}
