/** Whether decisions are kept between questions, said to an engine in this process and to a node: the only two places that know how. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";

export type Memo = "off" | "on";

const off = { decisionCacheEntriesMax: 0 };

export const engineLimits = (memo: Memo): Limits => (memo === "on" ? defaultLimits : { ...defaultLimits, ...off });

/** Part of a node's environment; what it points to is written into the directory. */
export function nodeSettings(memo: Memo, directory: string): Readonly<Record<string, string>> {
  const path = join(directory, `memo-${memo}.yaml`);
  writeFileSync(path, JSON.stringify({ limits: memo === "on" ? {} : off }));
  return { OSTIARY_CONFIG: path };
}
