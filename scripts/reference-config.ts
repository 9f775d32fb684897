/**
 * The text of `appliance/ostiary.yaml`: every setting with its prose, its default and its other names, written from the schema so that it can't
 * go stale. `test/appliance.test.ts` compares the file with this, and rewrites it with UPDATE=1.
 */
import { settings, type Setting } from "../src/config/settings.ts";

const width = 110;

/** What stands above the setting with which a section begins. */
const sections: Readonly<Record<string, string>> = {
  role: "The node",
  host: "Where it listens",
  data: "Who it is, and where it keeps its copy",
  primary: "How it follows the primary",
  "log.level": "Logs, to standard error",
  "trace.sampleRatio": "Traces",
  "limits.writeBodyBytesMax": "Limits, each with its unit. The defaults suit a small machine as well as a large one",
};

const intro = [
  "Reference configuration of Ostiary: every setting, with its default.",
  "",
  "  ostiary serve --config ostiary.yaml     starts a node with it",
  "  ostiary config --config ostiary.yaml    shows what is in force",
  "",
  "A variable of the environment (OSTIARY_…) wins over this file, and a flag wins over both. What is left empty here is not set. Anchors, aliases and tags of YAML are refused; put a value that begins with `&`, `*` or `!` into quotes. Secrets are better kept in the environment than here.",
].join("\n");

export function referenceConfig(): string {
  let group = "";
  const parts = settings.map((setting) => {
    const heading = sections[setting.name];
    const outer = setting.path.length > 1 ? (setting.path[0] ?? "") : "";
    const opening = outer !== group && outer !== "" ? `${outer}:\n` : "";
    group = outer;
    return `${heading === undefined ? "" : `# ${heading}\n\n`}${opening}${entry(setting)}`;
  });
  return `${comment(intro, "")}\n\n${parts.join("\n")}`;
}

function entry(setting: Setting): string {
  const indent = setting.path.length > 1 ? "  " : "";
  const others = setting.path[0] === "limits" ? "" : ` ${setting.variable}, ${setting.flag}.`;
  const prose = `${setting.description}.\nAllowed: ${setting.allowed}.${others}`;
  // A node without a role does not start; every other setting can be left alone.
  const standard = setting.name === "role" ? "primary" : setting.default;
  return `${comment(prose, indent)}\n${indent}${setting.path.at(-1)}:${standard === undefined || standard === "" ? "" : ` ${String(standard)}`}\n`;
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
