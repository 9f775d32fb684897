/** Whether decisions are kept between questions, said to an engine in this process and to a node: the only two places that know how. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultLimits, type Limits } from "../../src/config/limits.ts";

export type DecisionCache = "off" | "on";

const off = { decisionCacheEntriesMax: 0 };

export const engineLimits = (decisionCache: DecisionCache): Limits =>
  decisionCache === "on" ? defaultLimits : { ...defaultLimits, ...off };

/** Part of a node's environment; what it points to is written into the directory. */
export function nodeSettings(decisionCache: DecisionCache, directory: string): Readonly<Record<string, string>> {
  const path = join(directory, `decision-cache-${decisionCache}.yaml`);
  writeFileSync(path, JSON.stringify({ advanced: decisionCache === "on" ? {} : off }));
  return { OSTIARY_CONFIG: path };
}
