/** The name of a node in what it sends to collectors of OpenTelemetry. */
import { randomUUID } from "node:crypto";
import { readNodeFile } from "./data-directory.ts";

const ofThisProcess = randomUUID();

/**
 * The value of `service.instance.id`: the configured id of the node, or the one that it has stored with its data. Before
 * a first start there is none, and without data there never is one: then a random id of this process. Collectors take
 * series of nodes with the same id for one that jumps.
 */
export function instanceIdOf({
  nodeId,
  data,
}: {
  readonly nodeId?: string | undefined;
  readonly data?: string | undefined;
}): string {
  return nodeId ?? storedId(data) ?? ofThisProcess;
}

function storedId(data: string | undefined): string | undefined {
  try {
    return data === undefined ? undefined : readNodeFile(data, "node-id");
  } catch {
    // The start of the node reports what is wrong with the directory.
    return undefined;
  }
}
