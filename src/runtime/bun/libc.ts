/** Calls of the C library on Bun. */
import { dlopen, ptr } from "bun:ffi";
import type { Libc } from "../platform.ts";

/** See `Platform`. */
export function openLibc(names: readonly string[]): Libc | undefined {
  for (const name of names) {
    try {
      const { symbols } = dlopen(name, {
        getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
        getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
        getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
        setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
        shutdown: { args: ["i32", "i32"], returns: "i32" },
        getrlimit: { args: ["i32", "ptr"], returns: "i32" },
      });
      return { ...symbols, addressOf: (bytes) => BigInt(ptr(bytes)) };
    } catch {
      // Try the other C library.
    }
  }
  return undefined;
}
