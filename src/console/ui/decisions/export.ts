/** Downloads the log as NDJSON, page by page, with progress. Memory is bounded: finished parts go to the browser's disk. */

export interface ExportProgress {
  readonly decisions: number;
}

export interface ExportedLog {
  readonly file: Blob;
  readonly decisions: number;
  /** Whether the log has more than one export takes. */
  readonly isCut: boolean;
}

const pageLimit = 1000;
/** About 500 MB. `ostiary decisions --all --json` has no limit. */
export const exportedDecisionsMax = 1_000_000;

/**
 * `open` asks for `GET /api/decisions` with the parameters, as NDJSON. Oldest decisions come first. Throws the errors of
 * `open`, and the reason of the aborted signal.
 */
export async function exportLog(
  open: (parameters: URLSearchParams) => Promise<Response>,
  conditions: URLSearchParams,
  onProgress: (progress: ExportProgress) => void,
  decisionsMax = exportedDecisionsMax,
): Promise<ExportedLog> {
  const parts: Blob[] = [];
  let decisions = 0;
  let after: string | null = null;
  do {
    const parameters = new URLSearchParams(conditions);
    parameters.set("order", "oldest");
    parameters.set("limit", String(Math.min(pageLimit, decisionsMax - decisions)));
    if (after !== null) parameters.set("after", after);
    const response = await open(parameters);
    const text = await response.text();
    decisions += text.split("\n").length - 1;
    // A Blob is not kept in the memory of the page.
    parts.push(new Blob([text]));
    after = response.headers.get("ostiary-next");
    onProgress({ decisions });
  } while (after !== null && decisions < decisionsMax);
  return { file: new Blob(parts, { type: "application/x-ndjson" }), decisions, isCut: after !== null };
}
