/** The texts of the screen of changes. */

const factCount = (count: number): string => (count === 1 ? "1 fact" : `${count} facts`);

export const changesTexts = {
  title: "Changes",
  titleOf: (offset: string) => `Change ${offset}`,
  help: (max: number) => `New changes appear by themselves. The list has the last ${max}.`,
  connecting: "Connecting …",
  interrupted: "The connection broke off. The console tries again by itself, and misses no change.",
  empty: "Nothing has been written yet.",
  hasNoChanges:
    "This fallback fetches snapshots and has no changes. Open the console of the primary, of an edge, or of a fallback with the setting follow.",
  table: "Changes, the newest first",
  columns: { time: "Time", offset: "Offset", change: "Change", details: "What" },
  facts: (inserted: number, deleted: number): string => {
    if (deleted === 0) return `${factCount(inserted)} inserted`;
    return inserted === 0
      ? `${factCount(deleted)} deleted`
      : `${factCount(inserted)} inserted, ${factCount(deleted)} deleted`;
  },
  cleared: "All facts deleted",
  policy: (id: string, filename: string) => `Policy ${id} became active${filename === "" ? "" : `: ${filename}`}`,
  author: (name: string) => `by ${name}`,
  keys: "API keys changed",
  epoch: (term: string) => `A primary began term ${term}`,
  more: (count: number) => (count === 1 ? "… and 1 more" : `… and ${count} more`),
  newer: "Newer",
  older: "Older",
  notThere: "This node has no such change.",
  when: "Time",
  id: "Position",
  content: "What changed",
  applied: "Where it is visible",
  appliedHelp: "Since the commit on the primary, by the clocks of both machines.",
  appliedColumns: { node: "Node", role: "Role", state: "Visible", after: "After the commit" },
  yes: "yes",
  notYet: "not yet",
  unknown: "not known",
  trace: "Trace",
  noTrace: "This change was not traced. A node traces only some requests, as its setting traceRecentPerSecond says.",
  noSpans: "No node has the spans of this trace any more.",
  traceRole: "Traces need a key with the role admin.",
  openTrace: "Open the trace",
} as const;
