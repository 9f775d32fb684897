/** The files of the web console, over HTTP from a real node: caching, compression, security headers, and the setting. */
import { beforeAll, describe, expect, test } from "bun:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { acceptedEncoding } from "../../src/console/content-encoding.ts";
import { withPrimary } from "../http/api.ts";
import { builtConsole } from "./built-console.ts";

beforeAll(builtConsole);

/** Without a decompression by the runtime. */
function load(url: string, headers: Readonly<Record<string, string>> = {}, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, headers: { "Accept-Encoding": "identity", ...headers } });
}

async function filesOf(
  url: string,
): Promise<{ readonly page: string; readonly script: string; readonly style: string }> {
  const page = await (await load(`${url}/console/`)).text();
  const [, script = ""] = /<script [^>]*src="\.\/([^"]+)"/.exec(page) ?? [];
  const [, style = ""] = /<link rel="stylesheet" [^>]*href="\.\/([^"]+)"/.exec(page) ?? [];
  return { page, script, style };
}

describe("the console", () => {
  test("is a page with relative links only, and nothing inline", () =>
    withPrimary(async ({ url }) => {
      const { page, script, style } = await filesOf(url);
      expect([script, style]).toEqual([
        expect.stringMatching(/^index-\w+\.js$/),
        expect.stringMatching(/^index-\w+\.css$/),
      ]);
      expect(page).not.toMatch(/(?:src|href)="(?!\.\/)/);
      expect(page).not.toMatch(/<script(?![^>]* src=)|<style| on\w+=| style=/);
      const redirect = await load(`${url}/console`, {}, { redirect: "manual" });
      expect([redirect.status, redirect.headers.get("location")]).toEqual([308, "console/"]);
      expect((await load(`${url}/console/index.html`)).status).toBe(200);
    }));

  test("is where browsers get to from `/`; programs get the answer that other unknown paths have", () =>
    withPrimary(async ({ url }) => {
      const visit = async (accept: string, method = "GET", path = "/") => {
        const { status, headers } = await load(url + path, { Accept: accept }, { method, redirect: "manual" });
        return [status, headers.get("location"), headers.get("vary")];
      };
      const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
      for (const method of ["GET", "HEAD"]) expect(await visit(browser, method)).toEqual([302, "console/", "Accept"]);
      for (const accept of ["*/*", "application/json", "text/*", "text/html;q=0", "text/plain, */*"])
        expect([accept, ...(await visit(accept))]).toEqual([accept, 404, null, null]);
      expect(await visit(browser, "POST")).toEqual([404, null, null]);
      expect(await visit(browser, "GET", "/other")).toEqual([404, null, null]);
    }));

  test("is checked at each load, and its other files never", () =>
    withPrimary(async ({ url }) => {
      const { script, style } = await filesOf(url);
      for (const [name, cached, type] of [
        ["", "no-cache", "text/html; charset=utf-8"],
        [script, "public, max-age=31536000, immutable", "text/javascript; charset=utf-8"],
        [style, "public, max-age=31536000, immutable", "text/css; charset=utf-8"],
      ] as const) {
        const response = await load(`${url}/console/${name}`);
        expect([response.status, response.headers.get("cache-control")]).toEqual([200, cached]);
        expect(response.headers.get("content-type")).toBe(type);
        await response.body?.cancel();
        const tag = response.headers.get("etag") ?? "";
        expect(tag).toMatch(/^"[\w-]{22}-identity"$/);
        for (const condition of [tag, `W/${tag}`, `"other", ${tag}`, "*"]) {
          const again = await load(`${url}/console/${name}`, { "If-None-Match": condition });
          expect([condition, again.status, await again.text()]).toEqual([condition, 304, ""]);
        }
        const changed = await load(`${url}/console/${name}`, { "If-None-Match": '"other"' });
        expect(changed.status).toBe(200);
        await changed.body?.cancel();
      }
    }));

  test("has security headers on every response", () =>
    withPrimary(async ({ url }) => {
      const { script } = await filesOf(url);
      for (const name of ["", script]) {
        const { headers, body } = await load(`${url}/console/${name}`);
        await body?.cancel();
        const policy = headers.get("content-security-policy") ?? "";
        for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"])
          expect(policy.split("; ")).toContain(part);
        expect(policy).not.toMatch(/unsafe|http|\*/);
        expect(headers.get("x-content-type-options")).toBe("nosniff");
        expect(headers.get("referrer-policy")).toBe("no-referrer");
        expect(headers.get("vary")).toBe("Accept-Encoding");
      }
    }));

  test("has no other file, and leads to no file of the machine", () =>
    withPrimary(async ({ url }) => {
      for (const path of ["other.js", "..%2f..%2fetc%2fpasswd", "%2e%2e/api/keys", "constructor", "__proto__"]) {
        const response = await load(`${url}/console/${path}`);
        expect([path, response.status]).toEqual([path, path.startsWith("%2e") ? 401 : 404]);
        await response.text();
      }
      expect((await load(`${url}/console/`, {}, { method: "POST" })).status).toBe(404);
    }));

  test("does not exist if it is turned off", () =>
    withPrimary(
      async ({ url }) => {
        for (const path of ["/", "/console", "/console/", "/console/index.html"]) {
          const response = await load(url + path, { Accept: "text/html" });
          expect([path, response.status, await response.json()]).toEqual([
            path,
            404,
            { message: `there is no route \`GET ${path}\``, code: "not_found" },
          ]);
        }
      },
      { console: "false" },
    ));
});

test("the archive has each file compressed with both encodings, to the same content", async () => {
  const { readArchive } = await import("../../src/console/console-archive.ts");
  const files = readArchive();
  expect([...files.keys()]).toContain("index.html");
  for (const [name, { br, gzip, type }] of files) {
    expect([name, brotliDecompressSync(br).equals(gunzipSync(gzip)), type]).toEqual([name, true, expect.any(String)]);
    expect(br.byteLength).toBeLessThan(gzip.byteLength + 1);
  }
});

test.each([
  ["gzip, deflate, br, zstd", "br"],
  ["gzip, deflate", "gzip"],
  ["br;q=0, gzip", "gzip"],
  ["BR ; q=0.1", "br"],
  ["*", "br"],
  ["*;q=0", "identity"],
  ["identity", "identity"],
  ["br;q=nonsense", "identity"],
  ["", "identity"],
] as const)("`Accept-Encoding: %s` gives %s", (header, encoding) => {
  expect(acceptedEncoding(header)).toBe(encoding);
});
