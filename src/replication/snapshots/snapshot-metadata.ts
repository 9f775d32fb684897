/** What is noted beside a copy that came out of a snapshot: which snapshot it is, and when it was last known to be the newest. */
import { z } from "zod";
import { readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";

const noteSchema = z.object({ tag: z.string(), confirmedMs: z.number() });
export type SnapshotMetadata = z.infer<typeof noteSchema>;
const noteName = "snapshot.json";

/** Undefined where there is none that can be read: then a copy's age is counted from its last event. */
export function readSnapshotMetadata(data: string): SnapshotMetadata | undefined {
  try {
    return noteSchema.parse(JSON.parse(readNodeFile(data, noteName) ?? "null"));
  } catch {
    return undefined;
  }
}

export function writeSnapshotMetadata(data: string, note: SnapshotMetadata): void {
  writeNodeFile(data, noteName, JSON.stringify(note));
}
