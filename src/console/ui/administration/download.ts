/** Reads a file of the node with progress. Memory is bounded: finished parts go to the browser's disk. */

export interface DownloadProgress {
  readonly received: number;
  /** Undefined if the node does not say it. */
  readonly size: number | undefined;
}

export interface Download extends DownloadProgress {
  readonly file: Blob;
  readonly name: string;
}

/** The file ended before its size. */
export class BrokenDownloadError extends Error {}

const partBytes = 8 * 2 ** 20;

/** `fallbackName` is used if the node sends no name. Throws BrokenDownloadError, and the errors of the connection. */
export async function readDownload(
  response: Response,
  fallbackName: string,
  onProgress: (progress: DownloadProgress) => void,
): Promise<Download> {
  const sent = response.headers.get("ostiary-size");
  const size = sent === null ? undefined : Number(sent);
  const parts: Blob[] = [];
  let chunks: Uint8Array<ArrayBuffer>[] = [];
  let [received, buffered] = [0, 0];
  const flush = (): void => {
    // A Blob is not kept in the memory of the page.
    parts.push(new Blob(chunks));
    [chunks, buffered] = [[], 0];
  };
  const reader = response.body?.getReader();
  for (;;) {
    const value = (await reader?.read())?.value as Uint8Array<ArrayBuffer> | undefined;
    if (value === undefined) break;
    chunks.push(value);
    received += value.byteLength;
    buffered += value.byteLength;
    if (buffered >= partBytes) flush();
    onProgress({ received, size });
  }
  flush();
  if (size !== undefined && received !== size) throw new BrokenDownloadError();
  const name = /filename="([\w.-]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? fallbackName;
  return { file: new Blob(parts), name, received, size };
}
