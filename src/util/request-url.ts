/**
 * Splits the URL of an incoming request by position. `new URL` throws on a malformed `Host` header, which every client
 * can send, and a request with an unusable host has a URL that is only a path.
 */

/** The position of the path, after scheme and host. 0 if the URL is only a path. */
export function pathStart(url: string): number {
  if (url.startsWith("/")) return 0;
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return start === -1 ? url.length : start;
}

/** The path, without the query. */
export function pathOf(url: string): string {
  const query = queryStart(url);
  return url.slice(pathStart(url), query);
}

/** The path and the query, unchanged. */
export function pathAndQueryOf(url: string): string {
  return url.slice(pathStart(url));
}

export function queryOf(url: string): URLSearchParams {
  return new URLSearchParams(url.slice(queryStart(url)));
}

function queryStart(url: string): number {
  const query = url.indexOf("?", pathStart(url));
  return query === -1 ? url.length : query;
}
