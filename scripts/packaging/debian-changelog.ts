/** The changelog of the Debian package, from CHANGELOG.md: an entry for each release, in the format of deb-changelog(5). */

const widthMax = 78;

/** Throws an error if there is no release. */
export function debianChangelog(changelog: string, maintainer: string): string {
  const [, ...sections] = changelog.split(/^## (?=\[)/m);
  const entries = sections.flatMap((section) => {
    const [, version, date] = /^\[([^\]]+)\] - (\d{4}-\d\d-\d\d)/.exec(section) ?? [];
    return version === undefined || date === undefined ? [] : [entryOf(section, version, date, maintainer)];
  });
  if (entries.length === 0) throw new Error("CHANGELOG.md has no release");
  return entries.join("\n");
}

/** Debian sorts `0.2.0~rc.1` before `0.2.0`, as Semantic Versioning does with `0.2.0-rc.1`. */
export function debianVersion(version: string): string {
  return version.replace("-", "~");
}

function entryOf(section: string, version: string, date: string, maintainer: string): string {
  const day = new Date(`${date}T00:00:00Z`).toUTCString().replace("GMT", "+0000");
  const items = section
    .split(/^(?=- )/m)
    .slice(1)
    .map(itemOf);
  return [
    `ostiary (${debianVersion(version)}) stable; urgency=medium`,
    "",
    ...items,
    "",
    ` -- ${maintainer}  ${day}`,
    "",
  ].join("\n");
}

/** A list item of Markdown as indented plain text. */
function itemOf(item: string): string {
  const [text = ""] = item.split(/\n(?=\n|#)/);
  const plain = text
    .replace(/^- /, "")
    .replaceAll(/\[([^\]]+)\]\([^)]*\)/g, "$1")
    .replaceAll("**", "");
  const lines: string[] = [];
  let line = "  *";
  for (const word of plain.split(/\s+/).filter((each) => each !== "")) {
    if (`${line} ${word}`.length > widthMax) {
      lines.push(line);
      line = "   ";
    }
    line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}
