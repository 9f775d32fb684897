/**
 * The text of the reference configuration `appliance/ostiary.yaml`: every setting with its description, its default and
 * its other names, derived from the schema. `test/appliance.test.ts` compares the file with it, and rewrites the file
 * with UPDATE=1.
 */
import { groupHeadings, settings, type Setting } from "../src/config/settings.ts";

const width = 110;

const intro = [
  "Reference configuration of Ostiary: every setting, with its default.",
  "",
  "  ostiary serve --config ostiary.yaml     starts a node with it",
  "  ostiary config --config ostiary.yaml    shows the effective settings",
  "",
  "A variable of the environment (OSTIARY_…) wins over this file, and a flag wins over both. An empty value here means that the setting is not set. Anchors, aliases and tags of YAML are refused; put a value that begins with `&`, `*` or `!` into quotes. Keep secrets in the environment rather than here.",
].join("\n");

const advancedIntro =
  "The section `advanced` has internal limits and rarely needed settings. The defaults suit small and large machines. The flag and the variable of a setting in it do not contain `advanced`: OSTIARY_QUERY_TIME_MS_MAX, --query-time-ms-max.";

export function referenceConfig(): string {
  let group = "";
  let section = "";
  const parts = settings.map((setting) => {
    const heading = setting.group === group ? "" : `# ${groupHeadings[setting.group]}\n\n`;
    const outer = setting.path.length > 1 ? (setting.path[0] ?? "") : "";
    const opening =
      outer === section || outer === ""
        ? ""
        : `${outer === "advanced" ? `${comment(advancedIntro, "")}\n` : ""}${outer}:\n`;
    [group, section] = [setting.group, outer];
    return `${heading}${opening}${entry(setting)}`;
  });
  return `${comment(intro, "")}\n\n${parts.join("\n")}`;
}

function entry(setting: Setting): string {
  const indent = setting.path.length > 1 ? "  " : "";
  const others = setting.group === "advanced" ? "" : ` ${setting.variable}, ${setting.flag}.`;
  const prose = `${setting.description}.\nAllowed: ${setting.allowed}.${others}`;
  // A node does not start without a role; all other settings have a default or can be left out.
  const value = setting.name === "role" ? "primary" : setting.default;
  return `${comment(prose, indent)}\n${indent}${setting.path.at(-1)}:${value === undefined || value === "" ? "" : ` ${String(value)}`}\n`;
}
function comment(prose: string, indent: string): string {
  return prose
    .split("\n")
    .flatMap((line) => wrap(line, width - indent.length))
    .map((line) => `${indent}# ${line}`.trimEnd())
    .join("\n");
}

function wrap(line: string, length: number): string[] {
  if (line.length <= length) return [line];
  const lines = [""];
  for (const word of line.split(" ")) {
    const last = lines.at(-1) ?? "";
    if (last !== "" && last.length + 1 + word.length > length) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}
