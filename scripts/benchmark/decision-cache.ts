/** Turns the decision cache on or off, for an engine in this process and for a node. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";

export type DecisionCache = "off" | "on";

const off = { decisionCacheEntriesMax: 0 };

export const engineLimits = (decisionCache: DecisionCache): Limits =>
  decisionCache === "on" ? defaultLimits : { ...defaultLimits, ...off };

/** A part of a node's environment. Writes the file that it names into the directory. */
export function nodeSettings(decisionCache: DecisionCache, directory: string): Readonly<Record<string, string>> {
  const path = join(directory, `decision-cache-${decisionCache}.yaml`);
  writeFileSync(path, JSON.stringify({ advanced: decisionCache === "on" ? {} : off }));
  return { OSTIARY_CONFIG: path };
}
