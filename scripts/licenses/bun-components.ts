/**
 * What Bun's program contains besides the packages of this project: the libraries that it links, and sources that it
 * copies. The list follows the file LICENSE.md of Bun, and `process.versions` gives the versions. Bun's packages in the
 * registry have no list of their own.
 */
import * as Bun from "bun";
import type { LicensedComponent } from "../../src/cli/licenses.ts";
import { standardText } from "./standard-texts.ts";

interface Part {
  readonly name: string;
  /** The owner and the name of its repository on GitHub. */
  readonly repository: string;
  /** Its key in `process.versions`. */
  readonly version?: string;
  readonly license: string;
  readonly copyright: string;
  readonly note?: string;
}

const lgplNote = `Bun links this library statically. The sources of Bun and of its version of the library are public, so that the library can be
changed and linked again: https://github.com/oven-sh/bun and https://github.com/oven-sh/WebKit. The section JavaScriptCore of the file
LICENSE.md of Bun lists the steps.`;

const parts: readonly Part[] = [
  part("Bun", "oven-sh/bun", "bun", "MIT", "Oven"),
  {
    ...part(
      "JavaScriptCore",
      "oven-sh/WebKit",
      "webkit",
      "LGPL-2.0-or-later AND BSD-2-Clause",
      "Apple Inc. and others",
    ),
    note: lgplNote,
  },
  part("SQLite", "sqlite/sqlite", "sqlite", "blessing", "none: in the public domain"),
  part(
    "BoringSSL",
    "google/boringssl",
    "boringssl",
    "Apache-2.0 AND ISC AND MIT",
    "The BoringSSL Authors, Google Inc.",
  ),
  part("Mozilla's certificate authorities", "mozilla/gecko-dev", undefined, "MPL-2.0", "Mozilla and contributors"),
  part("uWebSockets", "oven-sh/uWebSockets", "uwebsockets", "Apache-2.0", "Alex Hultman"),
  part("uSockets", "uNetworking/uSockets", "usockets", "Apache-2.0", "Alex Hultman"),
  part(
    "picohttpparser",
    "h2o/picohttpparser",
    "picohttpparser",
    "MIT",
    "Kazuho Oku, Tokuhiro Matsuno, Daisuke Murase, Shigeo Mitsunari",
  ),
  part("llhttp", "nodejs/llhttp", "llhttp", "MIT", "Fedor Indutny"),
  part("ls-hpack", "litespeedtech/ls-hpack", "lshpack", "MIT", "LiteSpeed Technologies Inc"),
  part("ls-qpack", "litespeedtech/ls-qpack", undefined, "MIT", "LiteSpeed Technologies Inc"),
  part(
    "lsquic",
    "litespeedtech/lsquic",
    undefined,
    "MIT AND BSD-3-Clause",
    "LiteSpeed Technologies Inc; The Chromium Authors",
  ),
  part(
    "c-ares",
    "c-ares/c-ares",
    "ares",
    "MIT",
    "Massachusetts Institute of Technology; Daniel Stenberg and contributors",
  ),
  part("zlib-ng", "zlib-ng/zlib-ng", "zlib", "Zlib", "Jean-loup Gailly and Mark Adler"),
  part("zstd", "facebook/zstd", "zstd", "BSD-3-Clause", "Meta Platforms, Inc. and affiliates"),
  part("brotli", "google/brotli", undefined, "MIT", "the Brotli Authors"),
  part("libdeflate", "ebiggers/libdeflate", "libdeflate", "MIT", "Eric Biggers; Google LLC"),
  part("libarchive", "libarchive/libarchive", "libarchive", "BSD-2-Clause", "Tim Kientzle and contributors"),
  part("lol-html", "cloudflare/lol-html", "lolhtml", "BSD-3-Clause", "Cloudflare, Inc."),
  part("mimalloc", "microsoft/mimalloc", "mimalloc", "MIT", "Microsoft Corporation, Daan Leijen"),
  {
    ...part("TinyCC", "TinyCC/tinycc", "tinycc", "LGPL-2.1-or-later", "Fabrice Bellard and contributors"),
    note: lgplNote,
  },
  part("ICU", "unicode-org/icu", "icu", "Unicode-3.0", "Unicode, Inc."),
  part("simdutf", "simdutf/simdutf", undefined, "Apache-2.0", "The simdutf authors"),
  part(
    "base64",
    "aklomp/base64",
    undefined,
    "BSD-2-Clause",
    "Nick Galbreath; Alfred Klomp; Wojciech Muła and contributors",
  ),
  part("highway", "google/highway", undefined, "Apache-2.0", "Google LLC"),
  part("uucode", "jacobsandlund/uucode", undefined, "MIT", "Jacob Sandlund"),
  part(
    "libjpeg-turbo",
    "libjpeg-turbo/libjpeg-turbo",
    undefined,
    "BSD-3-Clause AND IJG AND Zlib",
    "D. R. Commander; Thomas G. Lane, Guido Vollbeding; Viktor Szathmáry",
  ),
  part("libspng", "randy408/libspng", undefined, "BSD-2-Clause", "Randy"),
  part("libwebp", "webmproject/libwebp", undefined, "BSD-3-Clause", "Google Inc."),
  part("libuv (on Windows)", "libuv/libuv", "uv", "MIT", "libuv project contributors"),
  part("Zig's standard library", "ziglang/zig", "zig", "MIT", "Zig contributors"),
  part(
    "sources of Node.js",
    "nodejs/node",
    "node",
    "MIT",
    "Node.js contributors, Joyent, Inc. and other Node contributors",
  ),
  part("sources of esbuild", "evanw/esbuild", undefined, "MIT", "Evan Wallace"),
  part("sources of TigerBeetle", "tigerbeetle/tigerbeetle", undefined, "Apache-2.0", "TigerBeetle, Inc."),
  part("sources of libc++abi", "llvm/llvm-project", undefined, "Apache-2.0 WITH LLVM-exception", "the LLVM Project"),
  part("acorn, acorn-walk", "acornjs/acorn", undefined, "MIT", "various contributors of acorn"),
  part(
    "polyfills of browserify",
    "browserify/browserify",
    undefined,
    "MIT",
    "James Halliday and the authors of the packages",
  ),
];

function part(name: string, repository: string, version: string | undefined, license: string, copyright: string): Part {
  return { name, repository, license, copyright, ...(version === undefined ? {} : { version }) };
}

/** Bun and its parts, in the version that runs this script: it is also the version in the built program. */
export function bunComponents(): LicensedComponent[] {
  return parts.map(({ name, repository, version: key, license, copyright, note }) => {
    const version = (key === "bun" ? Bun.version : key === undefined ? undefined : process.versions[key]) ?? null;
    const tag = key === "bun" ? `bun-v${version}` : version;
    const lead = note === undefined ? "" : `${note}\n\n`;
    return {
      name,
      version,
      partOf: "runtime",
      purl: `pkg:github/${repository.toLowerCase()}${tag === null ? "" : `@${tag}`}`,
      license,
      text: `${lead}${standardText(license, copyright, name)}`,
      sha512: null,
    };
  });
}
