/**
 * Serves the files of the web console: compressed at build time, cached by browsers for ever because their names contain
 * a hash, except for the page itself. No file can load or run anything from elsewhere (`Content-Security-Policy`).
 */
import { brotliDecompressSync } from "node:zlib";
import { AppError } from "../util/app-error.ts";
import { clip } from "../util/text-length.ts";
import { type ConsoleFile, readArchive } from "./console-archive.ts";
import { acceptedEncoding } from "./content-encoding.ts";

export const pageName = "index.html";

/**
 * Returns the function that answers requests for files; the empty path is the page. It throws AppError `not_found` for
 * an unknown file. Throws AppError `not_found` if the console was not built.
 */
export function openConsole(): (path: string, headers: Headers) => Response {
  const files = readArchive();
  const plain = new Map<string, Uint8Array<ArrayBuffer>>();
  return (path, headers) => {
    const name = path === "" ? pageName : path;
    const file = files.get(name);
    if (file === undefined) throw new AppError("not_found", `the console has no file \`${clip(path, 200)}\``);
    const encoding = acceptedEncoding(headers.get("accept-encoding") ?? "");
    const tag = `"${file.hash}-${encoding}"`;
    const own = { ...headersOf(name, file), ETag: tag };
    if (hasTag(headers.get("if-none-match") ?? "", tag)) return new Response(null, { status: 304, headers: own });
    if (encoding !== "identity")
      return new Response(file[encoding], { headers: { ...own, "Content-Encoding": encoding } });
    let content = plain.get(name);
    if (content === undefined) plain.set(name, (content = new Uint8Array(brotliDecompressSync(file.br))));
    return new Response(content, { headers: own });
  };
}

/** Scripts and styles come from this node only, requests go to this node only, and no page may embed this one. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // No code can turn a text into markup or into a script.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

function headersOf(name: string, { type }: ConsoleFile): Record<string, string> {
  return {
    "Content-Type": type,
    "Cache-Control": name === pageName ? "no-cache" : "public, max-age=31536000, immutable",
    Vary: "Accept-Encoding",
    "Content-Security-Policy": contentSecurityPolicy,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
  };
}

/** `If-None-Match` (RFC 9110, 13.1.2): a list of tags, which are compared weakly. */
function hasTag(header: string, tag: string): boolean {
  return header.split(",").some((each) => each.trim() === "*" || each.trim().replace(/^W\//, "") === tag);
}
