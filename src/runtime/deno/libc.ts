/** Calls of the C library on Deno. */
import type { Libc } from "../platform.ts";

const symbols = {
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  getpeername: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
} as const;

/** See `Platform`. */
export function openLibc(names: readonly string[]): Libc | undefined {
  for (const name of names) {
    try {
      const calls = Deno.dlopen(name, symbols).symbols as Omit<Libc, "addressOf">;
      return {
        ...calls,
        addressOf: (bytes) => Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as Uint8Array<ArrayBuffer>)),
      };
    } catch {
      // Try the other C library.
    }
  }
  return undefined;
}
