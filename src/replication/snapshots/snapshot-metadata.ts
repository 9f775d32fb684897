/** Metadata of a database from a snapshot: which snapshot it is, and when it was last known to be the newest. */
import { z } from "zod";
import { readNodeFile, writeNodeFile } from "../../store/directory/data-directory.ts";

const metadataSchema = z.object({ tag: z.string(), confirmedMs: z.number() });
export type SnapshotMetadata = z.infer<typeof metadataSchema>;
const fileName = "snapshot.json";

/** Undefined if there is none that can be read. Then the age of the database is counted from its last event. */
export function readSnapshotMetadata(data: string): SnapshotMetadata | undefined {
  try {
    return metadataSchema.parse(JSON.parse(readNodeFile(data, fileName) ?? "null"));
  } catch {
    return undefined;
  }
}

export function writeSnapshotMetadata(data: string, metadata: SnapshotMetadata): void {
  writeNodeFile(data, fileName, JSON.stringify(metadata));
}
